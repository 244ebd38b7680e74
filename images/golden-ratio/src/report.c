#include "report.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

// What is known of the run, for two threads: one computes, the other waits for signals.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static state current;
static bool telling;
static double began;
static double stopped = -1; // what the clock stands at; below 0 while it runs

static double read_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double get_seconds(void)
{
    return stopped < 0 ? read_clock() - began : stopped;
}

void set_seconds(double taken)
{
    began = read_clock() - taken;
}

void stop_seconds(double taken)
{
    stopped = taken;
}

// A text as JSON has it; what can't be printed becomes a question mark.
static void put_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', file);
        }
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', file);
    }
    fputc('"', file);
}

// The state file is for others to look at. Where it can't be written, the run goes on without.
static void write_state(const char *message)
{
    char text[4096];
    FILE *file = fmemopen(text, sizeof text, "w");
    if (!telling || !file) {
        return;
    }
    double seconds = get_seconds();
    fprintf(file, "{\"phase\": \"%s\", \"digits\": %zu, ", current.phase, current.digits);
    fprintf(file, "\"step\": %zu, \"steps\": %zu, ", current.step, current.steps);
    fprintf(file, "\"seconds\": %.6f, \"digits-per-second\": ", seconds);
    if (current.verified && current.timed) {
        fprintf(file, "%.0f, ", (double)current.digits / seconds);
    } else {
        fprintf(file, "null, ");
    }
    fprintf(file, "\"verified\": %s, ", current.verified ? "true" : "false");
    fprintf(file, "\"verify\": \"%s\", ", current.verify);
    fprintf(file, "\"threads\": %d, \"message\": ", current.threads);
    put_text(file, message);
    fprintf(file, "}\n");
    long length = ftell(file);
    if (fclose(file) == 0 && length < (long)sizeof text) {
        replace_file(STATE_FILE, text, (size_t)length);
    }
}

void show_state(const state *now)
{
    pthread_mutex_lock(&lock);
    current = *now;
    write_state("");
    pthread_mutex_unlock(&lock);
}

static void *wait_for_signal(void *signals)
{
    int number;
    sigwait(signals, &number);
    pthread_mutex_lock(&lock); // and keep it: nothing is told after this
    bool saved = current.step > 0;
    current.phase = "stopped";
    write_state("");
    printf("stopped: the next run %s\n", saved ? "goes on where this one was" : "starts over");
    fflush(stdout);
    _exit(STOPPED);
}

void begin_reports(const state *first)
{
    static sigset_t signals;
    set_seconds(0);
    telling = true;
    show_state(first);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_t waiting;
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&waiting, NULL, wait_for_signal, &signals)) {
        fail(BROKEN, "no thread can be started");
    }
}

void say(const char *format, ...)
{
    va_list words;
    va_start(words, format);
    pthread_mutex_lock(&lock);
    vprintf(format, words);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    va_end(words);
}

void fail(int code, const char *format, ...)
{
    char message[1024];
    va_list words;
    va_start(words, format);
    vsnprintf(message, sizeof message, format, words);
    va_end(words);
    for (char *at = message; *at; at++) {
        *at = (unsigned char)*at < ' ' || *at == 127 ? '?' : *at; // it is one line, whatever it quotes
    }
    pthread_mutex_lock(&lock);
    current.phase = "failed";
    current.verified = false;
    write_state(message);
    fprintf(stderr, "golden-ratio: %s\n", message);
    fflush(stdout);
    _exit(code);
}

const char *group(size_t number)
{
    static char texts[4][32];
    static int turn;
    char *at = texts[turn++ % 4] + 31;
    *at = '\0';
    for (int written = 0; number || !written; number /= 10) {
        if (written && written % 3 == 0) {
            *--at = ',';
        }
        *--at = (char)('0' + number % 10);
        written++;
    }
    return at;
}
