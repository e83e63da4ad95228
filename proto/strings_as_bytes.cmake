# SPDX-License-Identifier: Apache-2.0
#
# cmake -DIN=stepd.proto -DOUT=copy.proto -P strings_as_bytes.cmake
# The C side's copy of the protocol: every `string` field becomes `bytes`, which is the same on the
# wire. protobuf-c hands strings out as char * and so loses whatever stands behind a NUL; as bytes
# they keep their length, and message_decode.c can refuse them.
file(READ ${IN} text)
string(REGEX REPLACE "\n(( |repeated)+)string " "\n\\1bytes " text "${text}")
file(WRITE ${OUT} "${text}")
