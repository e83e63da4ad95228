# SPDX-License-Identifier: Apache-2.0
"""Puts the reports of stepd-bench into the tables of BENCHMARKS.md, so that none is copied by hand.

    tables.py REPORT.json ... [--one-core REPORT.json] [--write FILE]

Reports are what `stepd-bench --json` and the scripts of peers/ print, of all sections or of some;
of a section that is in several of them the last counts. Without --write the tables go to standard
output. With it, each replaces what stands between `<!-- table NAME -->` and `<!-- end -->` in the
file; a table whose sections were not measured stays as it is.
"""
import argparse
import json
import re
import sys
from pathlib import Path

MIB = 1 << 20


def table(*head):
    """The first two lines of one in Markdown: words to the left, what ends in # to the right."""
    words = [name.removesuffix("#") for name in head]
    rules = ["---:" if name.endswith("#") else "---" for name in head]
    return ["| " + " | ".join(words) + " |", "|" + "|".join(rules) + "|"]


def line(*cells):
    return "| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |"


def ms(us):
    return f"{us / 1000:.3f}" if us < 10_000 else f"{us / 1000:.1f}"


def digits(value, count=2):
    return None if value is None else f"{value:.{count}f}"


def size(count):
    for unit, text in ((MIB, "MiB"), (1 << 10, "KiB")):
        if unit <= count < 1000 * unit and count % unit == 0:
            return f"{count // unit} {text}"
    return f"{count // 1_000_000} MB" if count >= 1_000_000 else f"{count} B"


def subjects(rows, *keys):
    """{what is measured: {lane: row}} in the order of the report."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), {})[row["lane"]] = row
    return found


def ratio(lanes, lane, field="ratio"):
    return digits(lanes[lane][field]) if lane in lanes else None


def kernel(report):
    """Of each kernel the row of the table that this machine takes: the last that it can run."""
    last = {}
    for (optimizer, isa, elements), lanes in subjects(report["kernel"], "optimizer", "isa",
                                                      "elements").items():
        last.setdefault(optimizer, {}).setdefault(isa, {})[elements] = lanes
    lines = table("optimizer", "parameters#", "ns#", "over bare#", "over plain#")
    for optimizer, isas in last.items():
        for elements, lanes in list(isas.values())[-1].items():
            ns = digits(lanes["stepd"]["us"] * 1000 / elements, 3)
            lines.append(line(optimizer, f"{elements:,}", ns, ratio(lanes, "bare"),
                              ratio(lanes, "plain")))
    return lines


def small_steps(rows, *before):
    lines = []
    for (transport,), lanes in subjects(rows, "transport").items():
        ours = lanes["stepd"]
        times = [digits(ours[field], 1) for field in ("us", "p90_us", "p99_us")]
        lines.append(line(*before, transport, *times, digits(lanes["bare"]["us"], 1),
                          ratio(lanes, "bare")))
    return lines


SMALL = ("transport", "step, us#", "p90#", "p99#", "echo, us#", "ratio#")


def latency(report):
    lines = table("cores#", *SMALL) + small_steps(report["latency"], 2)
    return lines + small_steps(report.get("one core", []), 1)


def polling(report):
    return table(*SMALL) + small_steps(report["polling"])


def exchange(section):
    def lines_of(report):
        lines = table(section, "size#", "ms#", "p90#", "GB/s#", "over bare#", "over raw#",
                      "CPU s/GB#", "CPU over bare#")
        for (transport, count), lanes in subjects(report[section], "transport", "bytes").items():
            ours = lanes["stepd"]
            moved = section != "pull" or transport != "shared"  # there it says where weights are
            lines.append(line(transport, size(count), ms(ours["us"]), ms(ours["p90_us"]),
                              digits(ours["gb_s"]) if moved else None,
                              ratio(lanes, "bare"), ratio(lanes, "raw"),
                              digits(ours["cpu_s_gb"], 3), ratio(lanes, "bare", "cpu_ratio")))
        return lines
    return lines_of


def teams(report):
    lines = table("lane", "transport", "step, ms#", "p90#", "GB/s#", "CPU s/GB#",
                  "CPU over the first#")
    for row in report["workers"] + report["shards"]:
        count, of = row["lane"].split("-")
        over = row["cpu_ratio"] and 1 / row["cpu_ratio"]
        lines.append(line(f"{count} {of}{'' if count == '1' else 's'}", row["transport"],
                          ms(row["us"]), ms(row["p90_us"]), digits(row["gb_s"]),
                          digits(row["cpu_s_gb"], 3), digits(over)))
    return lines


def many(report):
    lines = table("tensors#", "transport", "step, ms#", "p90, ms#", "one tensor, ms#", "ratio#",
                  "define, ms#")
    for (transport, count), lanes in subjects(report["many"], "transport", "tensors").items():
        ours = lanes["stepd"]
        lines.append(line(f"{count:,}", transport, ms(ours["us"]), ms(ours["p90_us"]),
                          ms(lanes["one"]["us"]), ratio(lanes, "one"), ms(lanes["define"]["us"])))
    return lines


def idle(report):
    lines = table("transport", "lane", "median, ms#", "p99, ms#", "ratio of medians#",
                  "memory of the idle, MiB#")
    grown = {row["transport"]: row["grown_bytes"] for row in report["idle_memory"]}
    for (transport, count), lanes in subjects(report["idle"], "transport", "idle").items():
        ours, alone = lanes["stepd"], lanes["alone"]
        lines.append(line(transport, f"beside {count:,} idle", ms(ours["us"]),
                          ms(ours["p99_us"]), ratio(lanes, "alone"),
                          digits(grown[transport] / MIB, 1)))
        lines.append(line(transport, "alone", ms(alone["us"]), ms(alone["p99_us"]), "", ""))
    return lines


def memory(report):
    lines = table("optimizer", "reduction", "workers#", "planned, MiB#", "grown, MiB#",
                  "above, MiB#")
    for row in report["memory"]:
        planned, grown = row["planned_bytes"] / MIB, row["grown_bytes"] / MIB
        lines.append(line(row["optimizer"], row["reduction"], row["workers"], digits(planned, 1),
                          digits(grown, 1), digits(grown - planned, 1)))
    return lines


def train(report):
    shares = ("compute", "socket", "server", "idle", "waiting")
    lines = table("examples#", "sent", "step, ms#", "over without#",
                  *(f"{name}#" for name in shares))
    found = subjects(report["train"], "batch", "sent")
    for (batch, sent), lanes in found.items():
        if sent == "both":
            for lane, part, text in (("stepd", "layer", "layer by layer"),
                                     ("whole", "whole", "without overlap")):
                parts = found[batch, part]
                over = lanes[lane]["us"] / lanes["whole"]["us"]
                lines.append(line(batch, text, ms(lanes[lane]["us"]), digits(over),
                                  *(f"{100 * parts[name]['ratio']:.0f} %" for name in shares)))
    return lines


FIGURES = {
    "p99_step": "p99 of a step while writing, over that without",
    "throughput": "steps a second while writing, over those without",
    "memory": "memory that checkpoints took, over the spare planned",
    "disk": "bytes a second written, over a plain write's",
}


def checkpoint(report):
    """Each figure with its target, a column for each mode."""
    modes = list(dict.fromkeys(row["mode"] for row in report["checkpoint_targets"]))
    figures = {}
    for row in report["checkpoint_targets"]:
        figures.setdefault(row["figure"], {})[row["mode"]] = row
    lines = table("what is promised", "target#", *(f"{mode}#" for mode in modes))
    for figure, rows in figures.items():
        row = rows[modes[0]]
        target = (f"at most {row['at_most']:.2f}" if "at_most" in row else
                  f"at least {row['at_least']:.2f}")
        lines.append(line(FIGURES[figure], target,
                          *(digits(rows[mode]["value"], 3) for mode in modes)))
    return lines


def adamw(report):
    lines = table("parameters#", "threads of torch#", "stepd, ns#", "fused, ns#", "foreach, ns#",
                  "copy, ns#", "stepd over fused#")
    for (count, threads), lanes in subjects(report["adamw"], "elements", "threads").items():
        each = [digits(lanes[lane]["ns_each"], 3) for lane in ("stepd", "fused", "foreach", "copy")]
        lines.append(line(f"{count:,}", threads, *each,
                          digits(lanes["stepd"]["us"] / lanes["fused"]["us"])))
    return lines


def ddp_vs_stepd(report):
    lines = table("examples of a process#", "stepd, ms#", "DDP, ms#", "alone, ms#",
                  "stepd over DDP#")
    for (batch,), lanes in subjects(report["ddp_vs_stepd"], "batch").items():
        times = [ms(lanes[lane]["us"]) for lane in ("stepd", "ddp", "alone")]
        lines.append(line(batch, *times, digits(lanes["stepd"]["us"] / lanes["ddp"]["us"])))
    return lines


# What each is of: the sections that it needs.
def tls(report):
    figures = {}
    for row in report["tls_targets"]:
        figures.setdefault(row["bytes"], {})[row["figure"]] = row["value"]
    lines = table("bytes", "TLS ms#", "in clear ms#", "TLS s/GB#", "in clear s/GB#", "AES s/GB#",
                  "over clear and AES#")
    for (count,), lanes in subjects(report["tls"], "bytes").items():
        of = figures.get(count, {})
        lines.append(line(size(count), ms(lanes["stepd"]["us"]), ms(lanes["plain"]["us"]),
                          digits(lanes["stepd"]["cpu_s_gb"], 3), digits(lanes["plain"]["cpu_s_gb"], 3),
                          digits(of.get("aes_s_gb"), 3), digits(of.get("over_plain_and_aes"))))
    return lines


TABLES = {
    "kernel": (kernel, ["kernel"]), "latency": (latency, ["latency"]),
    "polling": (polling, ["polling"]), "push": (exchange("push"), ["push"]),
    "receive": (exchange("receive"), ["receive"]), "pull": (exchange("pull"), ["pull"]),
    "step": (exchange("step"), ["step"]), "teams": (teams, ["workers", "shards"]),
    "many": (many, ["many"]), "idle": (idle, ["idle", "idle_memory"]),
    "memory": (memory, ["memory"]), "train": (train, ["train"]),
    "tls": (tls, ["tls", "tls_targets"]),
    "checkpoint": (checkpoint, ["checkpoint_targets"]),
}
# Of the scripts for peers.
def attack(report):
    """What tests/fault/attack.py measures."""
    measured = report["attack"]
    lines = table("of the steps", "alone, ms#", "attacked, ms#", "attacked over alone#")
    for name in ("p50", "p90", "p99"):
        alone, attacked = measured[f"{name}_ms"]
        lines.append(line(name, digits(alone, 3), digits(attacked, 3), digits(attacked / alone)))
    return lines


PEER_TABLES = {"adamw": (adamw, ["adamw"]), "attack": (attack, ["attack"]),
               "ddp_vs_stepd": (ddp_vs_stepd, ["ddp_vs_stepd"])}


def made(report):
    every = {**TABLES, **PEER_TABLES}
    return {name: "\n".join(of(report)) for name, (of, sections) in every.items()
            if all(section in report for section in sections)}


def put(text, tables):
    """Fails where the text has no place for a table."""
    for name, lines in tables.items():
        place = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = place.subn(lambda match, lines=lines: f"{match[1]}{lines}\n{match[2]}", text)
        if count != 1:
            sys.exit(f"tables.py: the file has {count} places for the table {name}, not one: put "
                     f"'<!-- table {name} -->' and '<!-- end -->' where it belongs")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", nargs="+", type=Path, help="what stepd-bench --json printed")
    parser.add_argument("--one-core", type=Path, help="the same, of `latency` under taskset -c 0")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace the tables in it")
    arguments = parser.parse_args()
    report = {}
    for path in arguments.report:
        report.update(json.loads(path.read_text()))
    if arguments.one_core:
        report["one core"] = json.loads(arguments.one_core.read_text())["latency"]
    tables = made(report)
    if arguments.write:
        arguments.write.write_text(put(arguments.write.read_text(), tables))
    else:
        print("\n\n".join(tables.values()))


if __name__ == "__main__":
    main()
