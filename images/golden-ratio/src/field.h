// Arithmetic modulo an odd number p < 2^62, after Montgomery: no division.
#ifndef FIELD_H
#define FIELD_H

#include <flint/flint.h>

typedef unsigned __int128 wide;

typedef struct {
    ulong p;
    ulong inverse; // of p, modulo 2^64
    ulong square;  // 2^128 modulo p
} field;

field make_field(ulong p);

// Returns a·b/2^64 modulo p, between 0 and 2p; a·b must be below 2^64·p.
static inline ulong multiply_lazily(const field *f, ulong a, ulong b)
{
    wide product = (wide)a * b;
    ulong m = (ulong)product * f->inverse;
    return (ulong)(product >> 64) - (ulong)(((wide)m * f->p) >> 64) + f->p;
}

// Takes `bound` away from a value below twice that.
static inline ulong reduce_once(ulong value, ulong bound)
{
    return value >= bound ? value - bound : value;
}

static inline ulong multiply(const field *f, ulong a, ulong b)
{
    return reduce_once(multiply_lazily(f, a, b), f->p);
}

// Returns a·2^64 modulo p: what multiplies by a, as one factor of `multiply`.
static inline ulong to_factor(const field *f, ulong a)
{
    return multiply(f, a, f->square);
}

#endif
