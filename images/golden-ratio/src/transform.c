// A transform splits polynomials modulo x^n - c into those modulo x^(n/2) - w and x^(n/2) + w, with
// w² = c, down to constants. The w of all blocks of a level come from one table in bit-reversed
// order, and the table of a level begins with those of the levels before, so that one serves all
// sizes. Between levels values stay below 2p: D. Harvey, "Faster arithmetic for number-theoretic
// transforms", J. Symb. Comput. 60 (2014). Results stay in the order in which they come: products
// of values need no other.

#include "transform.h"

#include <stdlib.h>

#include <flint/thread_support.h>
#include <flint/ulong_extras.h>

// What is transformed at once fits into a core's cache: 2^15 words.
enum { CACHED = 1 << 15, CHUNKS = 16 };

// Both are k·3·2^36 + 1.
field primes[PRIMES];
static const ulong moduli[PRIMES] = {4611685125074190337u, 4611682857331458049u};
static const ulong generators[PRIMES] = {5, 13};

static ulong *roots[PRIMES];
static size_t roots_made;
static ulong minus_one[PRIMES];
static ulong third[PRIMES][2]; // the two third roots of one, as factors

field make_field(ulong p)
{
    field f = {.p = p, .inverse = p};
    for (int step = 0; step < 5; step++) {
        f.inverse *= 2 - p * f.inverse;
    }
    ulong word = (ulong)(((wide)1 << 64) % p);
    f.square = (ulong)((wide)word * word % p);
    return f;
}

// Returns a primitive root of one of this order, as a factor.
static ulong find_root(int prime, ulong order)
{
    ulong p = moduli[prime];
    ulong root = n_powmod2_ui_preinv(generators[prime], (p - 1) / order, p, n_preinvert_limb(p));
    return to_factor(&primes[prime], root);
}

size_t find_size(size_t least)
{
    size_t size = 16;
    while (size < least) {
        size *= 2;
    }
    return size > 64 && size / 4 * 3 >= least ? size / 4 * 3 : size;
}

static size_t odd_part(size_t size)
{
    return size % 3 ? 1 : 3;
}

void prepare_transforms(size_t size)
{
    size_t wanted = size / odd_part(size) / 2;
    if (wanted <= roots_made) {
        return;
    }
    for (int prime = 0; prime < PRIMES; prime++) {
        if (!roots_made) {
            primes[prime] = make_field(moduli[prime]);
            minus_one[prime] = to_factor(&primes[prime], moduli[prime] - 1);
            third[prime][0] = find_root(prime, 3);
            third[prime][1] = multiply(&primes[prime], third[prime][0], third[prime][0]);
        }
        ulong *table = flint_realloc(roots[prime], wanted * sizeof *table);
        table[0] = to_factor(&primes[prime], 1);
        for (size_t half = roots_made ? roots_made : 1; half < wanted; half *= 2) {
            ulong root = find_root(prime, 4 * half);
            for (size_t i = 0; i < half; i++) {
                table[half + i] = multiply(&primes[prime], table[i], root);
            }
        }
        roots[prime] = table;
    }
    roots_made = wanted;
}

ulong find_scale(int prime, size_t size)
{
    const field *f = &primes[prime];
    ulong inverse = n_invmod(size % f->p, f->p);
    return to_factor(f, to_factor(f, inverse));
}

ulong find_inverse_of_first(void)
{
    return to_factor(&primes[1], n_invmod(moduli[0] % moduli[1], moduli[1]));
}

// Two levels of a block of 4·quarter values; which of its level's blocks it is gives its roots.
static inline void split(int prime, ulong *a, size_t quarter, size_t begin, size_t end, size_t block)
{
    const field f = primes[prime];
    const ulong twice = 2 * f.p;
    const ulong w = roots[prime][block];
    const ulong w0 = roots[prime][2 * block], w1 = roots[prime][2 * block + 1];
    for (size_t i = begin; i < end; i++) {
        ulong *x = a + i;
        ulong x0 = reduce_once(x[0], twice), x1 = reduce_once(x[quarter], twice);
        ulong x2 = multiply_lazily(&f, x[2 * quarter], w);
        ulong x3 = multiply_lazily(&f, x[3 * quarter], w);
        ulong y0 = reduce_once(x0 + x2, twice), y2 = reduce_once(x0 - x2 + twice, twice);
        ulong y1 = multiply_lazily(&f, x1 + x3, w0);
        ulong y3 = multiply_lazily(&f, x1 - x3 + twice, w1);
        x[0] = y0 + y1;
        x[quarter] = y0 - y1 + twice;
        x[2 * quarter] = y2 + y3;
        x[3 * quarter] = y2 - y3 + twice;
    }
}

// Returns minus the inverse of a root, as a factor.
static inline ulong find_inverse(int prime, size_t block)
{
    if (block == 0) {
        return minus_one[prime];
    }
    size_t top = (size_t)1 << (63 - __builtin_clzl(block));
    return roots[prime][3 * top - 1 - block];
}

// Undoes `split`, but for a factor of 4.
static inline void join(int prime, ulong *a, size_t quarter, size_t begin, size_t end, size_t block)
{
    const field f = primes[prime];
    const ulong twice = 2 * f.p;
    const ulong w = find_inverse(prime, block);
    const ulong w0 = find_inverse(prime, 2 * block), w1 = find_inverse(prime, 2 * block + 1);
    for (size_t i = begin; i < end; i++) {
        ulong *x = a + i;
        ulong y0 = x[0], y1 = x[quarter], y2 = x[2 * quarter], y3 = x[3 * quarter];
        ulong x0 = reduce_once(y0 + y1, twice);
        ulong x1 = multiply_lazily(&f, y1 - y0 + twice, w0);
        ulong x2 = reduce_once(y2 + y3, twice);
        ulong x3 = multiply_lazily(&f, y3 - y2 + twice, w1);
        x[0] = reduce_once(x0 + x2, twice);
        x[quarter] = reduce_once(x1 + x3, twice);
        x[2 * quarter] = multiply_lazily(&f, x2 - x0 + twice, w);
        x[3 * quarter] = multiply_lazily(&f, x3 - x1 + twice, w);
    }
}

// The last level, where the number of levels is odd.
static void split_pairs(int prime, ulong *a, size_t size, size_t block)
{
    const field f = primes[prime];
    const ulong twice = 2 * f.p;
    for (size_t i = 0; i < size; i += 2) {
        ulong x0 = reduce_once(a[i], twice);
        ulong x1 = multiply_lazily(&f, a[i + 1], roots[prime][block * (size / 2) + i / 2]);
        a[i] = x0 + x1;
        a[i + 1] = x0 - x1 + twice;
    }
}

static void join_pairs(int prime, ulong *a, size_t size, size_t block)
{
    const field f = primes[prime];
    const ulong twice = 2 * f.p;
    for (size_t i = 0; i < size; i += 2) {
        ulong y0 = a[i], y1 = a[i + 1];
        ulong w = find_inverse(prime, block * (size / 2) + i / 2);
        a[i] = reduce_once(y0 + y1, twice);
        a[i + 1] = multiply_lazily(&f, y1 - y0 + twice, w);
    }
}

// Transforms a block; values may be below 4p, before and after.
static void transform(int prime, ulong *a, size_t size, size_t block)
{
    if (size > CACHED) {
        split(prime, a, size / 4, 0, size / 4, block);
        for (size_t i = 0; i < 4; i++) {
            transform(prime, a + i * (size / 4), size / 4, 4 * block + i);
        }
        return;
    }
    size_t part = size, first = block;
    for (; part >= 4; part /= 4, first *= 4) {
        for (size_t i = 0; i < size / part; i++) {
            split(prime, a + i * part, part / 4, 0, part / 4, first + i);
        }
    }
    if (part == 2) {
        split_pairs(prime, a, size, block);
    }
}

// Undoes `transform`, but for a factor; values stay below 2p.
static void transform_back(int prime, ulong *a, size_t size, size_t block)
{
    if (size > CACHED) {
        for (size_t i = 0; i < 4; i++) {
            transform_back(prime, a + i * (size / 4), size / 4, 4 * block + i);
        }
        join(prime, a, size / 4, 0, size / 4, block);
        return;
    }
    size_t part = 4;
    if (__builtin_ctzl(size) % 2) {
        join_pairs(prime, a, size, block);
        part = 8;
    }
    for (; part <= size; part *= 4) {
        for (size_t i = 0; i < size / part; i++) {
            join(prime, a + i * part, part / 4, 0, part / 4, block * (size / part) + i);
        }
    }
}

// What tasks of one phase share; a task is a part of an array, modulo one prime.
typedef struct {
    ulong *const *array;
    ulong *const *other;
    size_t size, thirds, part; // part: of one third, or of all
    slong parts;               // how many tasks there are for each prime
} work;

// How a value's index turns the three parts that x^(3n) - 1 splits into: since 3 does not divide n,
// the third root that is needed is an n-th power of one.
static size_t find_turn(size_t part, size_t i)
{
    return part % 3 * i % 3;
}

static void split_thirds(slong task, void *data)
{
    const work *w = data;
    int prime = (int)(task / w->parts);
    const field f = primes[prime];
    const ulong root = third[prime][0];
    size_t chunk = w->part / CHUNKS, begin = (size_t)(task % w->parts) * chunk;
    ulong *a = w->array[prime];
    for (size_t i = begin; i < begin + chunk; i++) {
        size_t turn = find_turn(w->part, i);
        ulong x0 = a[i + (3 - turn) % 3 * w->part];
        ulong x1 = a[i + (4 - turn) % 3 * w->part];
        ulong x2 = a[i + (5 - turn) % 3 * w->part];
        ulong turned = multiply_lazily(&f, x1 - x2 + f.p, root);
        a[i] = x0 + x1 + x2;
        a[i + w->part] = x0 - x2 + f.p + turned;
        a[i + 2 * w->part] = reduce_once(x0 - x1 + f.p, f.p) + 2 * f.p - turned;
    }
}

static void join_thirds(slong task, void *data)
{
    const work *w = data;
    int prime = (int)(task / w->parts);
    const field f = primes[prime];
    const ulong twice = 2 * f.p, root = third[prime][0];
    size_t chunk = w->part / CHUNKS, begin = (size_t)(task % w->parts) * chunk;
    ulong *a = w->array[prime];
    for (size_t i = begin; i < begin + chunk; i++) {
        size_t turn = find_turn(w->part, i);
        ulong y0 = a[i], y1 = a[i + w->part], y2 = a[i + 2 * w->part];
        ulong turned = multiply_lazily(&f, y2 - y1 + twice, root);
        ulong x1 = reduce_once(y0 - y1 + twice, twice) + turned;
        ulong x2 = reduce_once(y0 - y2 + twice, twice) + twice - turned;
        ulong x0 = reduce_once(y0 + y1, twice) + y2;
        a[i + (3 - turn) % 3 * w->part] = reduce_once(x0, twice);
        a[i + (4 - turn) % 3 * w->part] = reduce_once(x1, twice);
        a[i + (5 - turn) % 3 * w->part] = reduce_once(x2, twice);
    }
}

// What a task works on.
typedef struct {
    int prime;
    ulong *values;
    size_t size, begin, end, block;
} share;

// A chunk of the first two levels of a third that is larger than the cache.
static share find_chunk(slong task, const work *w)
{
    size_t number = (size_t)(task % w->parts), size = w->part / 4, chunk = size / CHUNKS;
    share found = { .prime = (int)(task / w->parts), .size = size };
    found.values = w->array[found.prime] + number / CHUNKS * w->part;
    found.begin = number % CHUNKS * chunk;
    found.end = found.begin + chunk;
    return found;
}

static void split_top(slong task, void *data)
{
    share own = find_chunk(task, data);
    split(own.prime, own.values, own.size, own.begin, own.end, 0);
}

static void join_top(slong task, void *data)
{
    share own = find_chunk(task, data);
    join(own.prime, own.values, own.size, own.begin, own.end, 0);
}

// A whole third, or a quarter of one where its first levels are done.
static share find_part(slong task, const work *w)
{
    size_t number = (size_t)(task % w->parts), quarters = (size_t)w->parts / w->thirds;
    share found = { .prime = (int)(task / w->parts), .size = w->part / quarters };
    found.values = w->array[found.prime] + number * found.size;
    found.block = number % quarters;
    return found;
}

static void transform_part(slong task, void *data)
{
    share own = find_part(task, data);
    transform(own.prime, own.values, own.size, own.block);
}

static void transform_part_back(slong task, void *data)
{
    share own = find_part(task, data);
    transform_back(own.prime, own.values, own.size, own.block);
}

static void multiply_values(slong task, void *data)
{
    const work *w = data;
    int prime = (int)(task / w->parts);
    const field f = primes[prime];
    size_t chunk = w->size / CHUNKS, begin = (size_t)(task % w->parts) * chunk;
    ulong *a = w->array[prime];
    const ulong *b = w->other[prime];
    for (size_t i = begin; i < begin + chunk; i++) {
        a[i] = multiply_lazily(&f, reduce_once(a[i], 2 * f.p), reduce_once(b[i], 2 * f.p));
    }
}

// Tasks that are left, for whichever thread is free: others may work on this machine.
typedef struct {
    void (*task)(slong, void *);
    void *data;
    slong next, count;
} queue;

static void take_tasks(slong thread, void *data)
{
    (void)thread;
    queue *q = data;
    slong i;
    while ((i = __atomic_fetch_add(&q->next, 1, __ATOMIC_RELAXED)) < q->count) {
        q->task(i, q->data);
    }
}

void run_tasks(void (*task)(slong, void *), void *data, slong count)
{
    queue all = {.task = task, .data = data, .count = count};
    slong threads = flint_get_num_threads();
    flint_parallel_do(take_tasks, &all, threads < count ? threads : count, -1,
                      FLINT_PARALLEL_UNIFORM);
}

static void run_phase(void (*task)(slong, void *), work *w, size_t parts)
{
    w->parts = (slong)parts;
    run_tasks(task, w, PRIMES * w->parts);
}

static void transform_all(work *w)
{
    if (w->thirds == 3) {
        run_phase(split_thirds, w, CHUNKS);
    }
    if (w->part > CACHED) {
        run_phase(split_top, w, w->thirds * CHUNKS);
        run_phase(transform_part, w, w->thirds * 4);
    } else {
        run_phase(transform_part, w, w->thirds);
    }
}

static void transform_all_back(work *w)
{
    if (w->part > CACHED) {
        run_phase(transform_part_back, w, w->thirds * 4);
        run_phase(join_top, w, w->thirds * CHUNKS);
    } else {
        run_phase(transform_part_back, w, w->thirds);
    }
    if (w->thirds == 3) {
        run_phase(join_thirds, w, CHUNKS);
    }
}

void convolve(ulong *const residue[PRIMES], ulong *const other[PRIMES], size_t size)
{
    work w = {.array = residue, .other = other, .size = size, .thirds = odd_part(size)};
    w.part = size / w.thirds;
    transform_all(&w);
    if (other[0] != residue[0]) {
        w.array = other;
        transform_all(&w);
        w.array = residue;
    }
    run_phase(multiply_values, &w, CHUNKS);
    transform_all_back(&w);
}
