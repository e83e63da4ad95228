# SPDX-License-Identifier: Apache-2.0
"""Runs a peer's script with --quick --json and checks that its rows are complete. Times are not
judged. Ends with 77 where the script does: its peer is not installed.

    check.py SCRIPT [OPTION ...]     gloo.py, ..., and what it is given beside
"""
import json
import pathlib
import subprocess
import sys

# The lanes of each script, and how many comparisons --quick makes of them, at least.
LANES = {
    "gloo": ({"gloo", "bare"}, 2),
    "ddp": ({"ddp", "alone", "bare"}, 2),
    "ddp_vs_stepd": ({"ddp", "stepd", "alone"}, 1),
    "torch_step": ({"torch", "numpy", "c"}, 1),
    "rpc": ({"rpc", "bare"}, 2),
    "adamw": ({"fused", "stepd", "foreach", "copy"}, 1),
    "redis_kv": ({"redis", "bare"}, 4),
}
NOT_INSTALLED = 77


def main(script, *options):
    path = pathlib.Path(__file__).parent / script
    ran = subprocess.run([sys.executable, "-B", path, "--quick", "--json", *options], stdout=subprocess.PIPE,
                         text=True, timeout=300)
    if ran.returncode == NOT_INSTALLED:
        sys.exit(NOT_INSTALLED)
    assert ran.returncode == 0, ran.returncode
    (section, rows), = json.loads(ran.stdout).items()
    assert section == path.stem, section
    lanes, least = LANES[section]
    comparisons = {}
    for row in rows:
        assert row["rounds"] >= 5 and 0 < row["p10_us"] <= row["us"] <= row["p90_us"], row
        assert row.get("gb_s", row.get("ns_each")) > 0, row
        subject = tuple(row.get(key) for key in ("transport", "bytes", "threads", "elements"))
        comparisons.setdefault(subject, set()).add(row["lane"])
    assert len(comparisons) >= least, comparisons
    assert all(seen == lanes for seen in comparisons.values()), comparisons
    print(f"checked {len(rows)} rows of {section}")


if __name__ == "__main__":
    main(*sys.argv[1:])
