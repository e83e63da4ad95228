/* SPDX-License-Identifier: Apache-2.0
 *
 * Saving a model's weights as a safetensors file: a little-endian 64-bit length, a JSON header of
 * so many bytes, then all arrays as little-endian floats. PyTorch opens it with
 * safetensors.torch.load_file(), under the names and in the shapes that it would use itself.
 */
#ifndef TRAIN_WEIGHTS_FILE_H
#define TRAIN_WEIGHTS_FILE_H

#include <stepd/status.h>

#include "client/train/model.h"

/* Writes all weights in the order of their definition. FAILED_PRECONDITION: not writable. */
enum stepd_status weights_file_write(const char *path, const struct model *model,
                                     struct stepd_error *reterr) STEPD_MUST_CHECK;

#endif
