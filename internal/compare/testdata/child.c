// The daemon that is measured. It is written in C so that its own start costs as little as can be: a Go program's would hide what
// a supervisor needs.
//
//   child say SOCKET NAME              says "start", then "hup" and "term" when these signals arrive
//   child lines COUNT SIZE             writes lines, each by one write(2), and then waits
//   child end FILE COUNT exit|kill     writes lines and an unfinished one, and ends so; if FILE is there already, it waits
//   child flood                        writes lines without end
//   child orphans SOCKET NAME COUNT    leaves that many processes, which end at once, to PID 1; says "done"
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un to;
static int sock = -1;
static const char *name;

// say sends "WHAT NAME NANOSECONDS", of CLOCK_MONOTONIC; it is called in signal handlers.
static void say(const char *what) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	char b[128], digits[24], *d = digits + sizeof digits;
	unsigned long long n = (unsigned long long)t.tv_sec * 1000000000ull + t.tv_nsec;
	*--d = 0;
	do *--d = '0' + n % 10; while (n /= 10);
	strcpy(b, what);
	strcat(b, " ");
	strcat(b, name);
	strcat(b, " ");
	strcat(b, d);
	sendto(sock, b, strlen(b), 0, (struct sockaddr *)&to, sizeof to);
}

static void on_hup(int sig) { (void)sig; say("hup"); }
static void on_term(int sig) { (void)sig; say("term"); _exit(0); }

static void open_socket(const char *path, const char *who) {
	to.sun_family = AF_UNIX;
	strncpy(to.sun_path, path, sizeof to.sun_path - 1);
	name = who;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

// put writes all of b; a supervisor's pipe may take it in parts.
static void put(const char *b, size_t n) {
	while (n > 0) {
		ssize_t done = write(1, b, n);
		if (done < 0) _exit(1);
		b += done;
		n -= done;
	}
}

// line writes line number i of a size, which begins with a mark and ends with another.
static void line(long i, size_t size) {
	static char b[65536];
	int n = snprintf(b, sizeof b, "<%d.%ld ", getpid(), i);
	memset(b + n, 'x', size - n);
	b[size - 2] = '>';
	b[size - 1] = '\n';
	put(b, size);
}

static void wait_for_end(void) { for (;;) pause(); }

int main(int argc, char **argv) {
	if (argc < 2) return 2;
	if (!strcmp(argv[1], "say") && argc == 4) {
		open_socket(argv[2], argv[3]);
		signal(SIGHUP, on_hup);
		signal(SIGTERM, on_term);
		say("start");
		wait_for_end();
	}
	if (!strcmp(argv[1], "lines") && argc == 4) {
		for (long i = 0, n = atol(argv[2]); i < n; i++) line(i, atol(argv[3]));
		wait_for_end();
	}
	if (!strcmp(argv[1], "end") && argc == 5) {
		if (open(argv[2], O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0) wait_for_end();
		for (long i = 0, n = atol(argv[3]); i < n; i++) line(i, 100);
		put("<unfinished>", 12);
		if (!strcmp(argv[4], "kill")) raise(SIGKILL);
		return 0;
	}
	if (!strcmp(argv[1], "flood")) for (long i = 0;; i++) line(i, 100);
	if (!strcmp(argv[1], "orphans") && argc == 5) {
		open_socket(argv[2], argv[3]);
		for (long i = 0, n = atol(argv[4]); i < n; i++) {
			pid_t p = fork();
			if (p == 0) {
				fork(); // whose parent is gone at once
				_exit(0);
			}
			if (p > 0) waitpid(p, NULL, 0);
		}
		say("done");
		wait_for_end();
	}
	return 2;
}
