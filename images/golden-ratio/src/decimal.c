#include "decimal.h"

#include <string.h>
#include <sys/mman.h>

#include "report.h"
#include "transform.h"

enum { BLOCKS = 32 };

// BASE with its highest bit at the top, and what its inverse has beyond 2^64: N. Möller and
// T. Granlund, "Improved division by invariant integers", IEEE Trans. Comput. 60 (2011).
enum { SHIFT = 17 };
#define DIVISOR ((ulong)BASE << SHIFT)
static const ulong reciprocal = (ulong)(~(wide)0 / DIVISOR);

// Takes the lowest limb off a number below 2^125.
static inline ulong take_limb(wide *number)
{
    ulong high = (ulong)(*number >> 64), upper = high / BASE;
    wide rest = (((wide)(high % BASE) << 64) | (ulong)*number) << SHIFT;
    ulong top = (ulong)(rest >> 64), low = (ulong)rest;
    wide estimate = (wide)top * reciprocal + rest;
    ulong quotient = (ulong)(estimate >> 64) + 1;
    ulong remainder = low - quotient * DIVISOR;
    if (remainder > (ulong)estimate) {
        quotient--;
        remainder += DIVISOR;
    }
    if (remainder >= DIVISOR) {
        quotient++;
        remainder -= DIVISOR;
    }
    *number = ((wide)upper << 64) | quotient;
    return remainder >> SHIFT;
}

static ulong *space;
static size_t space_words;

static ulong *get_space(size_t words)
{
    if (words > space_words) {
        release_products();
        int flags = MAP_PRIVATE | MAP_ANONYMOUS;
        void *memory = mmap(NULL, words * sizeof *space, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (memory == MAP_FAILED) {
            fail(OUT_OF_MEMORY, "no memory for %zu bytes", words * sizeof *space);
        }
        madvise(memory, words * sizeof *space, MADV_HUGEPAGE); // faster where there are any
        space = memory;
        space_words = words;
    }
    return space;
}

void reserve_products(size_t size)
{
    get_space(2 * PRIMES * size);
}

void release_products(void)
{
    if (space) {
        munmap(space, space_words * sizeof *space);
    }
    space = NULL;
    space_words = 0;
}

// What the tasks of a product share.
typedef struct {
    ulong *residue[PRIMES], *other[PRIMES];
    const ulong *a, *b;
    size_t size, a_size, b_size;
    ulong scale[PRIMES], inverse; // inverse: of the first prime modulo the second, as a factor
    wide carry[BLOCKS];
} product;

static void fill(ulong *array, size_t size, const ulong *limbs, size_t count)
{
    memcpy(array, limbs, count * sizeof *array);
    memset(array + count, 0, (size - count) * sizeof *array);
}

static void load(slong prime, void *data)
{
    product *p = data;
    fill(p->residue[prime], p->size, p->a, p->a_size);
    if (p->other[prime] != p->residue[prime]) {
        fill(p->other[prime], p->size, p->b, p->b_size);
    }
}

static size_t find_start(const product *p, size_t block)
{
    return p->size * block / BLOCKS;
}

// Finds a block's coefficients from their residues, and makes limbs of them.
static void carry_block(slong block, void *data)
{
    product *p = data;
    const field f = primes[0], g = primes[1];
    ulong *limbs = p->residue[0];
    wide carry = 0;
    for (size_t i = find_start(p, (size_t)block); i < find_start(p, (size_t)block + 1); i++) {
        ulong x = multiply(&f, p->residue[0][i], p->scale[0]);
        ulong y = multiply(&g, p->residue[1][i], p->scale[1]);
        carry += x + (wide)f.p * multiply(&g, y + 2 * g.p - x, p->inverse);
        limbs[i] = take_limb(&carry);
    }
    p->carry[block] = carry;
}

ulong *multiply_cyclic(size_t size, const ulong *a, size_t a_size, const ulong *b, size_t b_size)
{
    prepare_transforms(size);
    product p = {.a = a, .b = b, .size = size, .a_size = a_size, .b_size = b_size};
    ulong *memory = get_space((a == b ? PRIMES : 2 * PRIMES) * size);
    for (int prime = 0; prime < PRIMES; prime++) {
        p.residue[prime] = memory + (size_t)prime * size;
        p.other[prime] = p.residue[prime] + (a == b ? 0 : PRIMES * size);
        p.scale[prime] = find_scale(prime, size);
    }
    p.inverse = find_inverse_of_first();
    run_tasks(load, &p, PRIMES);
    convolve(p.residue, p.other, size);
    run_tasks(carry_block, &p, BLOCKS);
    for (size_t block = 0; block < BLOCKS; block++) {
        add_cyclic(p.residue[0], size, find_start(&p, block + 1) % size, p.carry[block]);
    }
    return p.residue[0];
}

void add_cyclic(ulong *a, size_t size, size_t at, wide number)
{
    for (size_t i = at; number; i = i + 1 < size ? i + 1 : 0) {
        number += a[i];
        a[i] = take_limb(&number);
    }
}

void negate_cyclic(ulong *a, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        a[i] = BASE - 1 - a[i];
    }
}

void scale_cyclic(ulong *a, size_t size, ulong factor)
{
    ulong carry = 0;
    for (size_t i = 0; i < size; i++) {
        ulong value = a[i] * factor + carry;
        carry = value / BASE;
        a[i] = value - carry * BASE;
    }
    add_cyclic(a, size, 0, carry);
}

void halve(ulong *a, size_t size, ulong rest)
{
    for (size_t i = size; i-- > 0;) {
        ulong value = rest * BASE + a[i];
        a[i] = value / 2;
        rest = value % 2;
    }
}

void put_limb(char *text, ulong limb)
{
    enum { HALF = LIMB_DIGITS / 2 };
    unsigned high = (unsigned)(limb / 10000000), low = (unsigned)(limb % 10000000);
    for (int i = HALF; i-- > 0; high /= 10, low /= 10) {
        text[i] = (char)('0' + high % 10);
        text[HALF + i] = (char)('0' + low % 10);
    }
}

ulong get_limb(const char *text, size_t digits)
{
    ulong value = 0;
    unsigned wrong = 0;
    for (size_t i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';
        wrong |= digit > 9;
        value = value * 10 + digit;
    }
    return wrong ? BASE : value;
}
