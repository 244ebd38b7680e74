// With e = 1 - 5y², y + y·e/2 has twice the right digits of y: e is as small as y is near. So of
// 5y² only the lower half is unknown, and a cyclic product of half the size finds it.

#include "newton.h"

#include <stdbool.h>
#include <string.h>

#include <flint/fmpz.h>

#include "decimal.h"
#include "transform.h"

// Limbs of the first root; and those beyond the wanted digits, for what rounding costs.
enum { FIRST = 32, GUARD = 2 };

static size_t find_least(size_t wanted)
{
    return wanted / 2 + 1; // so that 2·this - 1 is enough
}

size_t count_steps(size_t digits)
{
    size_t steps = 0;
    for (size_t size = (digits - 1) / LIMB_DIGITS + 1 + GUARD; size > FIRST; steps++) {
        size = find_least(size);
    }
    return steps;
}

size_t find_limbs(size_t digits, size_t step)
{
    size_t size = (digits - 1) / LIMB_DIGITS + 1 + GUARD;
    for (size_t left = count_steps(digits); left > step; left--) {
        size = find_least(size);
    }
    return size;
}

size_t find_product_size(size_t digits)
{
    size_t steps = count_steps(digits);
    return find_size(2 * find_limbs(digits, steps - 1) + 1);
}

ulong *begin_root(size_t size)
{
    fmpz_t root;
    fmpz_init(root);
    fmpz_ui_pow_ui(root, 10, 2 * LIMB_DIGITS * size);
    fmpz_tdiv_q_ui(root, root, 5);
    fmpz_sqrt(root, root);
    char *text = fmpz_get_str(NULL, 10, root); // 4472…: it has all the digits that fit
    ulong *limbs = flint_malloc(size * sizeof *limbs);
    for (size_t i = 0; i < size; i++) {
        limbs[i] = get_limb(text + (size - 1 - i) * LIMB_DIGITS, LIMB_DIGITS);
    }
    flint_free(text);
    fmpz_clear(root);
    return limbs;
}

// Returns |BASE^(2·size) - 5·root²| in size + 1 limbs, and its sign; NULL where that is not as small
// as it must be.
static ulong *find_rest(const ulong *root, size_t size, int *sign)
{
    size_t cycle = find_size(size + 2);
    ulong *rest = multiply_cyclic(cycle, root, size, root, size);
    scale_cyclic(rest, cycle, 5);
    negate_cyclic(rest, cycle);
    add_cyclic(rest, cycle, 2 * size % cycle, 1);
    *sign = rest[cycle - 1] < BASE / 2 ? 1 : -1;
    if (*sign < 0) {
        negate_cyclic(rest, cycle);
    }
    bool small = rest[size] < 100;
    for (size_t i = size + 1; i < cycle; i++) {
        small = small && rest[i] == 0;
    }
    if (!small) {
        return NULL;
    }
    ulong *copy = flint_malloc((size + 1) * sizeof *copy);
    return memcpy(copy, rest, (size + 1) * sizeof *copy);
}

ulong *improve_root(ulong *root, size_t size, size_t wanted)
{
    int sign;
    prepare_transforms(find_size(2 * size + 1));
    ulong *rest = find_rest(root, size, &sign);
    if (!rest) {
        flint_free(root);
        return NULL;
    }
    ulong *change = multiply_cyclic(find_size(2 * size + 1), root, size, rest, size + 1);
    flint_free(rest);
    change += 3 * size - wanted;
    size_t count = wanted - size + 1;
    halve(change, count, 0);

    ulong *better = flint_malloc(wanted * sizeof *better);
    memset(better, 0, (wanted - size) * sizeof *better);
    memcpy(better + wanted - size, root, size * sizeof *better);
    flint_free(root);
    ulong carry = 0;
    for (size_t i = 0; i < wanted && (i < count || carry); i++) {
        ulong part = (i < count ? change[i] : 0) + carry;
        if (sign > 0) {
            better[i] += part;
            carry = better[i] >= BASE;
            better[i] -= carry ? BASE : 0;
        } else {
            carry = better[i] < part;
            better[i] += (carry ? BASE : 0) - part;
        }
    }
    return better;
}

void make_golden(ulong *root, size_t size)
{
    ulong carry = 0;
    for (size_t i = 0; i < size; i++) {
        ulong value = 5 * root[i] + carry;
        carry = value / BASE;
        root[i] = value % BASE;
    }
    halve(root, size, carry - 1); // (√5 - 1)/2: the carry is 2
}
