// SPDX-License-Identifier: Apache-2.0
/*
 * ping-pong serve: answers messages, one connection after the other.
 * ping-pong ADDRESS: prints the median round trip to a server, in microseconds.
 *
 * It takes a twentieth of a second, since a virtual machine's speed changes within a second. Of the
 * usual programs, sockperf sleeps for two seconds and measures for one, qperf measures for one at
 * least, and iperf takes an address such as 250.0.1.2 for multicast.
 */

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PORT 7777
#define WARM_UP 200
#define ROUND_TRIPS 2000

static char message[MESSAGE]; /* the compiler is told how many bytes */

static int receive(int connection)
{
	return recv(connection, message, sizeof(message), MSG_WAITALL) == sizeof(message);
}

static int transmit(int connection)
{
	return send(connection, message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
}

static void serve(void)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&own, sizeof(own)) ||
	    listen(listener, 1))
		err(1, "listening on port %d", PORT);
	for (;;) {
		int connection = accept(listener, NULL, NULL);

		if (connection < 0)
			err(1, "accepting a connection");
		while (receive(connection) && transmit(connection))
			;
		close(connection);
	}
}

static double read_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int compare(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

static double measure(const char *address)
{
	static double took[ROUND_TRIPS];
	struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int connection = socket(AF_INET, SOCK_STREAM, 0);

	if (!inet_aton(address, &server.sin_addr))
		errx(1, "%s is no IPv4 address", address);
	if (connection < 0 || connect(connection, (struct sockaddr *)&server, sizeof(server)))
		err(1, "connecting to %s, port %d", address, PORT);
	for (int i = -WARM_UP; i < ROUND_TRIPS; i++) {
		double began = read_clock();

		if (!transmit(connection) || !receive(connection))
			err(1, "%s did not answer", address);
		if (i >= 0)
			took[i] = read_clock() - began;
	}
	qsort(took, ROUND_TRIPS, sizeof(*took), compare);
	return took[ROUND_TRIPS / 2];
}

int main(int count, char **arguments)
{
	if (count != 2)
		errx(2, "usage: ping-pong serve | ping-pong ADDRESS");
	if (!strcmp(arguments[1], "serve"))
		serve();
	printf("%.3f\n", measure(arguments[1]));
	return 0;
}
