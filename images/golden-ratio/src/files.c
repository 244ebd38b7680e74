#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decimal.h"
#include "report.h"
#include "transform.h"

enum { PART = 1 << 16 }; // limbs that are written, or read, at once
static const char begin[] = {'1', '.'};
static const char digits_part[] = DIGITS_FILE ".part";

// What a file with a step begins with; the limbs follow.
typedef struct {
    char magic[8];
    ulong digits, step, size, verified, microseconds, check;
} header;

static const char magic[8] = {'p', 'h', 'i', 's', 't', 'e', 'p', '1'};

static _Noreturn void fail_on(const char *name)
{
    fail(NO_FILE, "%s in the work directory: %s", name, strerror(errno));
}

void enter_directory(const char *name, bool alone)
{
    if (chdir(name)) {
        fail(NO_FILE, "the work directory %s: %s", name, strerror(errno));
    }
    if (!alone) {
        return;
    }
    int lock = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0) {
        fail_on(LOCK_FILE);
    }
    if (flock(lock, LOCK_EX | LOCK_NB)) {
        fail(IN_USE, "another run works in %s; stop that one first", name);
    }
}

static int create(const char *name)
{
    return open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
}

static bool write_all(int file, const void *bytes, size_t size, off_t at)
{
    for (const char *rest = bytes; size;) {
        ssize_t written = pwrite(file, rest, size, at);
        if (written < 0) {
            if (errno != EINTR) {
                return false;
            }
            continue;
        }
        rest += written;
        size -= (size_t)written;
        at += written;
    }
    return true;
}

static bool read_all(int file, void *bytes, size_t size, off_t at)
{
    for (char *rest = bytes; size;) {
        ssize_t got = pread(file, rest, size, at);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        if (got > 0) {
            rest += got;
            size -= (size_t)got;
            at += got;
        }
    }
    return true;
}

// Gives a file that is whole its name, so that it has it after a power cut, too.
static bool publish(int file, const char *part, const char *name)
{
    if (fsync(file) || rename(part, name)) {
        return false;
    }
    int folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = folder >= 0 && fsync(folder) == 0;
    close(folder);
    return done;
}

bool replace_file(const char *name, const void *bytes, size_t size)
{
    char part[64];
    snprintf(part, sizeof part, "%s.part", name);
    int file = create(part);
    bool done = file >= 0 && write_all(file, bytes, size, 0) && rename(part, name) == 0;
    close(file);
    return done;
}

void set_aside(const char *name)
{
    char aside[64];
    snprintf(aside, sizeof aside, "%s.bad", name);
    if (rename(name, aside)) {
        if (errno == ENOENT) {
            return;
        }
        fail_on(name);
    }
    say("%s is set aside as %s", name, aside);
}

// A change of any one word changes the sum; others go unnoticed once in 2^64.
static ulong sum_words(ulong sum, const ulong *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    return sum;
}

static ulong sum_step(const header *head, const ulong *limbs)
{
    header copy = *head;
    copy.check = 0;
    ulong words[sizeof copy / sizeof(ulong)];
    memcpy(words, &copy, sizeof copy);
    return sum_words(sum_words(1, words, sizeof words / sizeof *words), limbs, head->size);
}

void write_step(const step *saved, const ulong *limbs)
{
    header head = {.digits = saved->digits, .step = saved->step, .size = saved->size};
    memcpy(head.magic, magic, sizeof magic);
    head.verified = saved->verified;
    head.microseconds = (ulong)(saved->seconds * 1e6 + 0.5);
    head.check = sum_step(&head, limbs);
    int file = create(STEP_FILE ".part");
    if (file < 0 || !write_all(file, &head, sizeof head, 0) ||
        !write_all(file, limbs, head.size * sizeof *limbs, sizeof head) ||
        !publish(file, STEP_FILE ".part", STEP_FILE)) {
        int why = errno;
        unlink(STEP_FILE ".part");
        errno = why;
        fail_on(STEP_FILE);
    }
    close(file);
}

// Reads a step; returns what is wrong with it, or NULL.
static const char *read_limbs(int file, size_t digits, header *head, ulong **limbs)
{
    struct stat found;
    if (fstat(file, &found) || !read_all(file, head, sizeof *head, 0) ||
        memcmp(head->magic, magic, sizeof magic)) {
        return "is not a saved step";
    }
    size_t size = (size_t)found.st_size - sizeof *head;
    if (head->digits != digits) {
        return "belongs to another number of digits";
    }
    if (size % sizeof **limbs || head->size != size / sizeof **limbs || head->size > digits) {
        return "is cut, or damaged";
    }
    *limbs = head->size ? flint_malloc(size) : NULL;
    if (!read_all(file, *limbs, size, sizeof *head) || head->check != sum_step(head, *limbs)) {
        return "is damaged: its checksum is wrong";
    }
    return NULL;
}

ulong *read_step(size_t digits, step *saved)
{
    *saved = (step){0};
    int file = open(STEP_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        if (errno != ENOENT) {
            fail_on(STEP_FILE);
        }
        return NULL;
    }
    header head;
    ulong *limbs = NULL;
    const char *wrong = read_limbs(file, digits, &head, &limbs);
    close(file);
    if (wrong) {
        flint_free(limbs);
        say("the file %s %s", STEP_FILE, wrong);
        set_aside(STEP_FILE);
        return NULL;
    }
    *saved = (step){.digits = digits, .step = head.step, .size = head.size};
    saved->verified = head.verified;
    saved->seconds = (double)head.microseconds / 1e6;
    return limbs;
}

void reserve_digits(size_t digits)
{
    int file = open(digits_part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    int why = file < 0 ? errno : posix_fallocate(file, 0, (off_t)(sizeof begin + digits + 1));
    if (why) {
        unlink(digits_part);
        errno = why;
        fail(NO_FILE, "no room for %s digits in the work directory: %s", group(digits),
             strerror(errno));
    }
    close(file);
}

// What the tasks share that write or read digits.
typedef struct {
    int file;
    size_t digits, size;
    const ulong *from;
    ulong *to;
    int why; // errno where a task failed, or EINVAL where a digit was none
} transfer;

static slong count_parts(size_t size)
{
    return (slong)((size + PART - 1) / PART);
}

static void write_part(slong number, void *data)
{
    transfer *t = data;
    char *text = flint_malloc(PART * LIMB_DIGITS);
    size_t first = (size_t)number * PART;
    size_t last = first + PART < t->size ? first + PART : t->size;
    for (size_t i = first; i < last; i++) {
        put_limb(text + (i - first) * LIMB_DIGITS, t->from[t->size - 1 - i]);
    }
    size_t start = first * LIMB_DIGITS, end = last * LIMB_DIGITS;
    end = end < t->digits ? end : t->digits;
    if (start < end && !write_all(t->file, text, end - start, (off_t)(sizeof begin + start))) {
        __atomic_store_n(&t->why, errno, __ATOMIC_RELAXED);
    }
    flint_free(text);
}

void write_digits(size_t digits, const ulong *limbs, size_t size)
{
    int file = open(digits_part, O_WRONLY | O_CLOEXEC);
    if (file < 0) {
        fail_on(digits_part);
    }
    transfer t = {.file = file, .digits = digits, .size = size, .from = limbs};
    off_t end = (off_t)(sizeof begin + digits);
    run_tasks(write_part, &t, count_parts(size));
    errno = t.why;
    if (t.why || !write_all(file, begin, sizeof begin, 0) || !write_all(file, "\n", 1, end) ||
        ftruncate(file, end + 1) || !publish(file, digits_part, DIGITS_FILE)) {
        fail_on(digits_part);
    }
    close(file);
}

static int open_digits(void)
{
    int file = open(DIGITS_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno != ENOENT) {
        fail_on(DIGITS_FILE);
    }
    return file;
}

size_t count_digits(void)
{
    int file = open_digits();
    struct stat found = {0};
    if (file >= 0) {
        fstat(file, &found);
        close(file);
    }
    size_t size = (size_t)found.st_size;
    return size > sizeof begin + 1 ? size - sizeof begin - 1 : 0;
}

// The parts count from the end, since limbs do; the first limb may have fewer digits.
static void read_part(slong number, void *data)
{
    transfer *t = data;
    char *text = flint_malloc(PART * LIMB_DIGITS);
    size_t first = (size_t)number * PART;
    size_t last = first + PART < t->size ? first + PART : t->size;
    size_t end = t->digits - first * LIMB_DIGITS;
    size_t start = last * LIMB_DIGITS < t->digits ? t->digits - last * LIMB_DIGITS : 0;
    if (!read_all(t->file, text, end - start, (off_t)(sizeof begin + start))) {
        __atomic_store_n(&t->why, errno ? errno : EINVAL, __ATOMIC_RELAXED);
    } else {
        const char *at = text + (end - start);
        for (size_t i = first; i < last; i++) {
            size_t length = at - text < LIMB_DIGITS ? (size_t)(at - text) : LIMB_DIGITS;
            at -= length;
            t->to[i] = get_limb(at, length);
            if (t->to[i] >= BASE) {
                __atomic_store_n(&t->why, EINVAL, __ATOMIC_RELAXED);
            }
        }
    }
    flint_free(text);
}

ulong *read_digits(size_t digits)
{
    int file = open_digits();
    char around[sizeof begin + 1] = {0};
    transfer t = {.file = file, .digits = digits, .size = (digits - 1) / LIMB_DIGITS + 1};
    t.to = flint_malloc(t.size * sizeof *t.to);
    off_t end = (off_t)(sizeof begin + digits);
    bool whole = file >= 0 && read_all(file, around, sizeof begin, 0) &&
                 read_all(file, around + sizeof begin, 1, end) &&
                 memcmp(around, begin, sizeof begin) == 0 && around[sizeof begin] == '\n';
    if (whole) {
        run_tasks(read_part, &t, count_parts(t.size));
    }
    close(file);
    if (t.why && t.why != EINVAL) {
        errno = t.why;
        fail_on(DIGITS_FILE);
    }
    if (!whole || t.why) {
        flint_free(t.to);
        return NULL;
    }
    return t.to;
}

bool copy_digits(char *text, size_t digits)
{
    int file = open_digits();
    bool done = file >= 0 && read_all(file, text + 1, digits, sizeof begin);
    close(file);
    text[0] = '1';
    text[digits + 1] = '\0';
    return done && strspn(text, "0123456789") == digits + 1;
}

void print_digits(size_t from, size_t count)
{
    int file = open_digits();
    char *text = flint_malloc(count + 1);
    if (file < 0 || !read_all(file, text, count, (off_t)(sizeof begin + from - 1))) {
        fail(NO_FILE, "%s can't be read", DIGITS_FILE);
    }
    text[count] = '\0';
    puts(text);
    flint_free(text);
    close(file);
}
