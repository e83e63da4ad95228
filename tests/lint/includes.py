# SPDX-License-Identifier: Apache-2.0
"""Holds every #include to the order of the layers, and every library to its place.

    main -> {net, disk, admin} -> peer -> persist -> {core, control} -> sync -> model
         -> {optim, schedule, access} -> base -> proto -> include
    client/* -> client/lib -> proto -> include

Left sees right, never back, and the members of one brace do not see each other. config stands
beside the daemon's layers: it sees base, and only main and stepctl see it. client/train may also
see the daemon's brain, which it runs in its own process, and client/ctl the pure layers up to
model, and config, which say without a daemon what one would do, and persist and disk, to read and
make checkpoints as a daemon does. Tests may include anything.

CMake's targets say the same, but all layers share one include path, so a wrong #include of a header
that needs no linking would go unnoticed there.

    includes.py              check the tree
    includes.py --self-test  check this file: each case of CASES must be judged as it says
"""
import re
import sys

from sources import ROOT, finish, project_files

DAEMON_ORDER = [
    ["server"],  # main.c, the only file outside the folders
    ["server/net", "server/disk", "server/admin"],
    ["server/peer"],
    ["server/persist"],
    ["server/core", "server/control"],
    ["server/sync"],
    ["server/model"],
    ["server/optim", "server/schedule", "server/access"],
    ["server/base"],
    ["proto"],
    ["include"],
]
CLIENT_PARTS = ["client/lib", "client/train", "client/ctl", "client/python", "client/examples"]
BRAIN = {"server/core", "server/model", "server/sync", "server/optim", "server/schedule",
         "server/base"}
# What can be asked without running anything, and checkpoints.
KNOWLEDGE = {"server/config", "server/access", "server/disk", "server/persist", "server/model", "server/optim",
             "server/schedule", "server/base"}

# Layers that decide: they see no thread, no socket, no clock and no file.
PURE = {"proto", "server/access", "server/optim", "server/schedule", "server/model", "server/sync", "server/core",
        "server/control", "server/persist", "server/peer"}

# (which headers, who may include them, the same in words)
LIBRARY_HOMES = [
    (r"uv(/.*)?\.h", {"server", "server/net", "client/lib", "client/ctl"}, "libuv"),
    (r"protobuf-c/.*|.*\.pb-c\.h", r"proto/message\w*\.[ch]", "protobuf-c"),
    (r"cyaml/.*|yaml\.h", {"server/config"}, "YAML"),
    (r"xxhash\.h", {"server/persist"}, "xxHash"),
    (r"openssl/.*", {"server/access", "server/net", "client/lib", "client/ctl"}, "OpenSSL"),
    (r"zlib\.h", {"client/train", "client/examples"}, "zlib"),
    (r"(.*/)?(cblas|lapacke?|openblas_config)\.h", {"client/train", "server/optim"}, "BLAS"),
]
OUTSIDE_WORLD = re.compile(
    r"pthread\.h|threads\.h|semaphore\.h|time\.h|sys/(time|socket|stat|un|epoll|file)\.h"
    r"|netinet/.*|arpa/.*|netdb\.h|poll\.h|unistd\.h|fcntl\.h|dirent\.h|signal\.h")
GETENV_HOMES = {"server/config", "client/train", "client/ctl"}

COMMENT_OR_LITERAL = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'""", re.DOTALL)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.MULTILINE)
GETENV = re.compile(r"\b(?:secure_)?getenv\s*\(")


def rights():
    """{layer: the layers that it may include}"""
    table = {}
    for rank, members in enumerate(DAEMON_ORDER):
        below = {layer for row in DAEMON_ORDER[rank + 1:] for layer in row}
        table |= {layer: below | {layer} for layer in members}
    table["server"].add("server/config")
    table["server/config"] = {"server/config", "server/base", "proto", "include"}
    for part in CLIENT_PARTS:
        table[part] = {part, "client/lib", "proto", "include"}
    table["client/train"] |= BRAIN
    table["client/ctl"] |= KNOWLEDGE
    return table


MAY_INCLUDE = rights()


def layer_of(path):
    """The layer that a path from the root belongs to, or None."""
    folders = path.split("/")[:-1]
    if not folders:
        return None
    if folders[0] in ("include", "proto", "tests"):
        return folders[0]
    layer = "/".join(folders[:2])
    return layer if layer in MAY_INCLUDE else None


def without_comments(text):
    """The text with its comments blanked; lines stay where they are, literals stay whole."""
    def blank(match):
        found = match.group()
        return found if found[0] in "\"'" else re.sub(r"[^\n]", " ", found)
    return COMMENT_OR_LITERAL.sub(blank, text)


def library_finding(path, layer, header):
    for pattern, homes, name in LIBRARY_HOMES:
        if not re.fullmatch(pattern, header):
            continue
        at_home = layer in homes if isinstance(homes, set) else re.fullmatch(homes, path)
        if not at_home:
            return f"{name} has no place here"
    if layer in PURE and OUTSIDE_WORLD.fullmatch(header):
        return f"{layer} decides and sees no thread, socket, clock or file"
    return None


def layer_finding(layer, header):
    if header.endswith(".pb-c.h"):
        return None  # generated, lies in the build folder; its place is a library's matter
    target = layer_of(header)
    if target is None:
        return 'a header of ours is included by its path from the root, as "proto/frame.h"'
    if target == "include":
        return "a public header is included as <stepd/...>"
    if target not in MAY_INCLUDE[layer]:
        return f"{layer} may not see {target}"
    return None


def include_finding(path, layer, angled, header):
    finding = library_finding(path, layer, header)
    if finding or (angled and not header.startswith(("server/", "proto/", "client/", "tests/"))):
        return finding  # <stepd/...> is open to everybody
    return layer_finding(layer, header)


def check_source(path, text):
    """(number of includes, findings) of one file."""
    layer = layer_of(path)
    if layer == "tests":
        return len(INCLUDE.findall(text)), []
    if layer is None:
        return 0, [f"{path}: lies in no layer that tests/lint/includes.py knows"]
    text = without_comments(text)
    findings, count = [], 0
    for match in INCLUDE.finditer(text):
        count += 1
        header = match.group(1) or match.group(2)
        finding = include_finding(path, layer, match.group(1) is not None, header)
        if finding:
            line = text.count("\n", 0, match.start(1) if match.group(1) else match.start(2)) + 1
            findings.append(f"{path}:{line}: {header}: {finding}")
    if layer not in GETENV_HOMES:
        for match in GETENV.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            findings.append(f"{path}:{line}: the environment is read in config alone")
    return count, findings


# (file, its text, how many findings it must give)
CASES = [
    ("server/core/core.c", '#include "server/net/conn.h"', 1),
    ("server/core/core.c", '#include "server/control/jobs.h"', 1),
    ("server/control/jobs.c", '#include "server/core/core.h"', 1),
    ("server/core/core.c", '#include "server/sync/round.h"', 0),
    ("server/core/core.c", '#include "server/config/config.h"', 1),
    ("server/core/core.h", '  #  include   "server/net/conn.h"', 1),
    ("server/core/core.c", '#include <uv.h>', 1),
    ("server/core/core.c", '#include <time.h>', 1),
    ("server/core/core.c", '#include <sys/socket.h>', 1),
    ("server/core/core.c", '#include <server/net/conn.h>', 1),
    ("server/core/core.c", '#include "core.h"', 1),
    ("server/core/core.c", '// #include "server/net/conn.h"', 0),
    ("server/core/core.c", '/*\n#include "server/net/conn.h"\n*/', 0),
    ("server/core/core.c", '#include <stdio.h>\n#include <stepd/status.h>', 0),
    ("server/core/core.c", 'const char *p = getenv("HOME");', 1),
    ("server/core/core.c", '/* no getenv() here */ log("// getenv(", x);', 1),
    ("server/core/core.c", "case '\"': return getenv(name); // \"", 1),
    ("server/net/door.c", '#include <uv.h>\n#include "server/control/jobs.h"', 0),
    ("server/net/door.c", '#include "server/disk/file.h"', 1),
    ("server/net/door.c", '#include "server/peer/link.h"', 0),
    ("server/peer/link.c", '#include "server/net/conn.h"', 1),
    ("server/peer/link.c", '#include <time.h>', 1),
    ("server/main.c", '#include <uv.h>\n#include "server/config/config.h"', 0),
    ("server/main.c", '#include "client/lib/client.h"', 1),
    ("server/access/token.c", '#include <openssl/sha.h>', 0),
    ("server/control/login.c", '#include <openssl/sha.h>', 1),
    ("server/optim/adam.c", '#include "server/schedule/schedule.h"', 1),
    ("server/optim/lbfgs.c", '#include <cblas.h>', 0),
    ("server/model/slice.c", '#include "server/sync/round.h"', 1),
    ("server/base/log.c", '#include "server/model/slice.h"', 1),
    ("server/base/log.c", '#include <time.h>', 0),
    ("server/config/config.c", '#include <yaml.h>\n#include "server/base/nearest.h"', 0),
    ("server/config/config.c", '#include "server/model/job.h"', 1),
    ("server/config/config.c", 'return getenv("STEPD_LISTEN");', 0),
    ("server/new/file.c", '#include <stdio.h>', 1),
    ("proto/frame.c", '#include "server/base/log.h"', 1),
    ("proto/frame.c", '#include "proto/stepd.pb-c.h"', 1),
    ("proto/frame.c", '#include <protobuf-c/protobuf-c.h>', 1),
    ("proto/message_encode.c", '#include "proto/stepd.pb-c.h"', 0),
    ("include/stepd/client.h", '#include "proto/frame.h"', 1),
    ("include/stepd/client.h", '#include <uv.h>', 1),
    ("client/lib/loop.c", '#include <uv.h>\n#include "proto/frame.h"', 0),
    ("client/lib/loop.c", '#include "server/core/core.h"', 1),
    ("client/ctl/main.c", '#include "client/train/mlp.h"', 1),
    ("client/ctl/main.c", '#include "client/lib/client.h"', 0),
    ("client/ctl/course.c", '#include "server/model/group.h"\n#include "server/config/config.h"', 0),
    ("client/ctl/course.c", '#include "server/core/local.h"\n#include "server/sync/policy.h"', 2),
    ("client/train/local.c", '#include "server/core/core.h"\n#include <zlib.h>', 0),
    ("client/train/local.c", '#include "server/net/conn.h"', 1),
    ("client/ctl/main.c", '#include <zlib.h>\n#include <cblas.h>\n#include <cyaml/cyaml.h>', 3),
    ("tests/unit/core/test_core.c", '#include <uv.h>\n#include "server/net/conn.h"', 0),
]


def self_test():
    findings = []
    for path, text, expected in CASES:
        _, found = check_source(path, text)
        if len(found) != expected:
            findings.append(f"{path}: {text!r}: expected {expected} findings, got {found}")
    return finish(f"{len(CASES)} cases", len(CASES), findings)


def check_tree():
    files = project_files(".c", ".h")
    includes, findings = 0, []
    for path in files:
        count, found = check_source(path, (ROOT / path).read_text(encoding="utf-8"))
        includes += count
        findings += found
    return finish(f"{includes} includes in {len(files)} files", includes, findings)


if __name__ == "__main__":
    sys.exit(self_test() if "--self-test" in sys.argv[1:] else check_tree())
