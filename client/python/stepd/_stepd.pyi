# SPDX-License-Identifier: Apache-2.0
# The compiled binding: binding/declarations.txt says what is in it.
from typing import Any

ffi: Any
lib: Any
