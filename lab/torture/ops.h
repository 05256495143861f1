/* SPDX-License-Identifier: GPL-2.0 */
/* The functions of the operations */
#ifndef OPS_H
#define OPS_H

#include "torture.h"

#define X(name, args, weight, flags) int op_##name(const struct op *op);
OPS(X)
#undef X

#endif /* OPS_H */
