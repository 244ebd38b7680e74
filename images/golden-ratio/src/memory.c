#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Measured, with room to spare: bytes for each digit, and those of the program itself.
enum { FAST_BYTES = 7, FULL_BYTES = 12 };
#define OWN_BYTES ((size_t)16 << 20)

// Returns the number that a file begins with; SIZE_MAX where there is none, as for `max`.
static size_t read_number(const char *name)
{
    FILE *file = fopen(name, "re");
    unsigned long long number;
    bool found = file && fscanf(file, "%llu", &number) == 1;
    if (file) {
        fclose(file);
    }
    return found ? (size_t)number : SIZE_MAX;
}

// Returns the least limit of a control group and those above it. In a container the files of its
// own group are where a machine has those of all.
static size_t find_limit(const char *root, char *group, const char *name)
{
    size_t least = SIZE_MAX;
    for (;;) {
        char path[2048];
        snprintf(path, sizeof path, "%s%s/%s", root, group, name);
        size_t limit = read_number(path);
        least = limit < least ? limit : least;
        char *end = strrchr(group, '/');
        if (!end) {
            return least;
        }
        *end = '\0';
    }
}

static size_t find_available(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[256];
    unsigned long long kilobytes = 0;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return kilobytes ? (size_t)kilobytes * 1024 : SIZE_MAX;
}

size_t find_memory(void)
{
    size_t least = find_available();
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[1024];
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) {
            continue;
        }
        *group++ = '\0';
        size_t limit = SIZE_MAX;
        if (controllers[1] == '\0') {
            limit = find_limit("/sys/fs/cgroup", group, "memory.max");
        } else if (strcmp(controllers + 1, "memory") == 0) {
            limit = find_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes");
        }
        least = limit < least ? limit : least;
    }
    if (file) {
        fclose(file);
    }
    return least;
}

size_t find_most_digits(size_t memory, bool full)
{
    return memory < OWN_BYTES ? 0 : (memory - OWN_BYTES) / (full ? FULL_BYTES : FAST_BYTES);
}
