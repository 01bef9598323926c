/* SPDX-License-Identifier: Apache-2.0 */
/* How much parity, and how far apart a block's packets: bongsu.protocol.repair.choice in C. */
#ifndef BONGSU_REPAIR_CHOOSE_H
#define BONGSU_REPAIR_CHOOSE_H

#include "wire.h"

/* Of what is sent, lost after repair: what parity is chosen for. */
#define RP_TARGET 1e-4
/* A wider block has to be better by this before it is taken, where none reaches the target. */
#define RP_BETTER 0.9

/* What was lost in some window of time. */
struct rp_loss {
	uint32_t judged, lost;
	uint32_t pairs[RP_LAGS];
};

struct rp_choice {
	uint32_t rows, depth;
	double residual; /* as the model has it */
};

double rp_share(const struct rp_loss *loss);
double rp_residual(uint32_t block, uint32_t rows, double share, double again);
void rp_choose(uint32_t block, uint32_t most, uint32_t depth, const struct rp_loss *brief,
	       const struct rp_loss *longer, struct rp_choice *out);

#endif
