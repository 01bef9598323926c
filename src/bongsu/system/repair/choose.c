/* SPDX-License-Identifier: Apache-2.0 */
#include "choose.h"

/* Nothing was seen yet: half of it may be lost (the mean of Jeffreys' prior). */
double rp_share(const struct rp_loss *loss)
{
	return (loss->lost + 0.5) / (loss->judged + 1.0);
}

/* Of the packet `1 << lag` after a lost one. */
static double again(const struct rp_loss *loss, uint32_t lag, double share)
{
	double found = (loss->pairs[lag] + share) / (loss->lost + 1.0);

	if (found < share)
		return share;
	return found > 0.999 ? 0.999 : found;
}

/*
 * The share of a block's packets that is lost and not repaired: more than `rows` of block + rows are
 * lost, where losses are a Markov chain of stationary `share` and P(lost | the one before) `again`.
 */
double rp_residual(uint32_t block, uint32_t rows, double share, double again)
{
	double lost[RP_ROWS + 1] = { 0 }, fine[RP_ROWS + 1] = { 0 };
	double first = share >= 1 ? 1 : share * (1 - again) / (1 - share);
	double was, counted = 0;
	uint32_t all = block + rows;

	if (first > 1)
		first = 1;
	fine[0] = 1 - share;
	if (rows)
		lost[1] = share;
	for (uint32_t i = 1; i < all; i++) {
		for (uint32_t e = rows; e; e--) {
			was = fine[e] * (1 - first) + lost[e] * (1 - again);
			lost[e] = fine[e - 1] * first + lost[e - 1] * again;
			fine[e] = was;
		}
		fine[0] = fine[0] * (1 - first) + lost[0] * (1 - again);
		lost[0] = 0;
	}
	for (uint32_t e = 1; e <= rows; e++)
		counted += e * (lost[e] + fine[e]);
	counted = (all * share - counted) / all;
	return counted > 0 ? counted : 0;
}

/* The fewest rows that reach the target, or `most`. */
static uint32_t needed(uint32_t block, uint32_t most, double share, double again)
{
	uint32_t low = 0, high = most, middle;

	while (low < high) {
		middle = (low + high) / 2;
		if (rp_residual(block, middle, share, again) <= RP_TARGET)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * Rows up to `most` and depth up to `depth`: the fewest rows that reach the target, and of these the
 * least depth; where none does, what leaves the least.
 */
void rp_choose(uint32_t block, uint32_t most, uint32_t depth, const struct rp_loss *brief,
	       const struct rp_loss *longer, struct rp_choice *out)
{
	double share = rp_share(longer), chance, residual;
	bool reached = false, better;
	uint32_t rows;

	if (rp_share(brief) > share && brief->lost)
		share = rp_share(brief);
	for (uint32_t lag = 0; lag < RP_LAGS && 1U << lag <= depth; lag++) {
		chance = again(longer, lag, share);
		rows = needed(block, most, share, chance);
		residual = rp_residual(block, rows, share, chance);
		if (residual <= RP_TARGET)
			better = !reached || rows < out->rows;
		else
			better = !reached && residual < RP_BETTER * out->residual;
		if (!lag || better)
			*out = (struct rp_choice){ rows, 1U << lag, residual };
		reached = reached || residual <= RP_TARGET;
	}
}
