// SPDX-License-Identifier: Apache-2.0
/*
 * link_emulator: delay, jitter, loss and capacity for all links of one lab, in one process.
 *
 * A link is two file descriptors that give and take one Ethernet frame per call (TAP devices). What
 * is read at one comes out at the other as its impairment says. Descriptors and settings arrive on a
 * control socket (SEQPACKET, one command a message, one answer each); it opens no device itself, so
 * it can do nothing but pass frames between what it was handed.
 *
 * An open TAP descriptor keeps its network namespace alive. So that a namespace removed by name does
 * end, the directory of names is watched, and an end whose namespace lost its name is let go.
 *
 * It never reorders, and never blocks but in epoll_wait. It outlives its starter on purpose and ends
 * with `quit` or SIGTERM; its devices are not persistent and end with it.
 *
 * Usage: link_emulator FD DIR: a listening AF_UNIX SOCK_SEQPACKET socket, and where the namespaces
 * have their names (/run/netns).
 * Commands, times in ns, rates in bit/s (0 = no limit), loss in parts per 10^9:
 *   hello | list | quit
 *   add NAME NETNS_A NETNS_B MTU SEED DELAY JITTER LOSS RATE QUEUE    and two descriptors
 *   set NAME DELAY JITTER LOSS RATE QUEUE
 *   down NAME | up NAME | remove NAME | stats NAME
 *   silence NAME a->b|b->a|both on|off
 * The descriptors of `add` come with it (SCM_RIGHTS), end a first.
 * Answers: "ok T[ payload]", T being CLOCK_MONOTONIC ns when it had taken effect, or "err why".
 * A command that is refused changes nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "passing.h"

#define PROTOCOL_VERSION 1
#define MAX_CLIENTS 16
#define LINE_SIZE 512
#define TOKENS 11
#define REPLY_SIZE (MAX_LINKS * NAME_SIZE + 256)
#define TIME_LIMIT (60 * SECOND)
#define RATE_MIN 1000ull
#define RATE_MAX 1000000000000ull
#define REALTIME_PRIORITY 50

/* What an epoll event means; its address is the event's data. */
struct source {
	enum { LISTEN, SIGNAL, TIMER, NAMES, CLIENT, DEVICE } kind;
	int fd;
	struct link *link;
	int side;
};

static int timer_fd;
static struct source device[MAX_LINKS][2];
static struct source client[MAX_CLIENTS];
static bool realtime, locked, ending;
static char reply[REPLY_SIZE];

/* ---- control -------------------------------------------------------------------------------- */

static const char *fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static const char *fail(const char *format, ...)
{
	static char text[LINE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

static bool printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (!*text || strlen(text) > 19)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		v = v * 10 + (uint64_t)(*text - '0');
	}
	*value = v;
	return v >= min && v <= max;
}

static const char *read_impairment(char **word, struct impairment *is)
{
	if (!number(word[0], 0, TIME_LIMIT, &is->delay))
		return "delay is 0 to 60000000000 ns";
	if (!number(word[1], 0, TIME_LIMIT, &is->jitter))
		return "jitter is 0 to 60000000000 ns";
	if (!number(word[2], 0, SECOND, &is->loss))
		return "loss is 0 to 1000000000 parts per 10^9";
	if (!number(word[3], 0, RATE_MAX, &is->rate) || (is->rate && is->rate < RATE_MIN))
		return "rate is 0 or 1000 to 1000000000000 bit/s";
	if (!number(word[4], 0, TIME_LIMIT, &is->queue))
		return "queue is 0 to 60000000000 ns";
	return NULL;
}

static int slot_of(const char *name)
{
	for (int i = 0; i < MAX_LINKS; i++)
		if (links[i] && !strcmp(links[i]->name, name))
			return i;
	return -1;
}

static bool name_ok(const char *name)
{
	return *name && strlen(name) < NAME_SIZE &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") ==
		       strlen(name);
}

static void link_free(struct link *l)
{
	for (int i = 0; i < 2; i++) {
		if (l->dir[i].ring.mem) {
			l->dir[i].ring.frames = 0;
			schedule(&l->dir[i]);
			munmap(l->dir[i].ring.mem, l->dir[i].ring.cap);
		}
		if (l->fd[i] >= 0)
			close_end(l, i);
	}
	free(l);
}

/* On success the descriptors in fds belong to the link and are -1 here. */
static const char *do_add(char **word, int *fds)
{
	uint64_t mtu, seed;
	struct impairment is;
	const char *error;
	struct link *l;
	int slot = -1;

	if (!name_ok(word[1]))
		return "a name is 1 to 63 letters, digits or . _ : -";
	if (slot_of(word[1]) >= 0)
		return fail("link %s exists already", word[1]);
	if (!name_ok(word[2]) || !name_ok(word[3]))
		return "a namespace's name is 1 to 63 letters, digits or . _ : -";
	if (!number(word[4], 68, MTU_MAX, &mtu))
		return "mtu is 68 to 9216";
	if (!number(word[5], 0, UINT64_MAX, &seed))
		return "seed is a number of at most 19 digits";
	error = read_impairment(word + 6, &is);
	if (error)
		return error;
	if (fds[0] < 0 || fds[1] < 0)
		return "add takes two file descriptors";
	for (int i = MAX_LINKS - 1; i >= 0; i--)
		if (!links[i])
			slot = i;
	if (slot < 0)
		return fail("no more than %d links", MAX_LINKS);
	l = calloc(1, sizeof(*l));
	if (!l)
		return "out of memory";
	strcpy(l->name, word[1]);
	strcpy(l->netns[0], word[2]);
	strcpy(l->netns[1], word[3]);
	l->mtu = (uint32_t)mtu;
	l->is = is;
	l->fd[0] = l->fd[1] = -1;
	for (int i = 0; i < 2; i++) {
		struct direction *d = &l->dir[i];

		d->link = l;
		d->heap = -1;
		d->seed = mix(seed * 2 + (uint64_t)i);
		d->rng = mix(d->seed);
		d->ring.cap = RING_START;
		d->ring.mem = ring_memory(RING_START);
		if (!d->ring.mem) {
			link_free(l);
			return "out of memory";
		}
	}
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &device[slot][i] };

		device[slot][i] = (struct source){ .kind = DEVICE, .link = l, .side = i };
		if (fcntl(fds[i], F_SETFL, O_NONBLOCK) ||
		    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event)) {
			int why = errno;

			if (i)
				epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fds[0], NULL);
			link_free(l);
			return fail("cannot watch descriptor %d: %s", i, strerror(why));
		}
	}
	for (int i = 0; i < 2; i++) {
		l->fd[i] = fds[i];
		fds[i] = -1;
	}
	links[slot] = l;
	return NULL;
}

static const char *do_silence(struct link *l, const char *where, const char *what)
{
	bool ab = !strcmp(where, "a->b") || !strcmp(where, "both");
	bool ba = !strcmp(where, "b->a") || !strcmp(where, "both");
	bool on = !strcmp(what, "on");

	if (!ab && !ba)
		return "a direction is a->b, b->a or both";
	if (!on && strcmp(what, "off"))
		return "silence is on or off";
	for (int i = 0; i < 2; i++) {
		struct direction *d = &l->dir[i];

		if (i ? !ba : !ab)
			continue;
		d->silent = on;
		/* What is in flight does not arrive either: from now on nothing comes out. */
		if (on)
			discard(d, &d->silenced);
	}
	return NULL;
}

static void do_down(struct link *l, bool down)
{
	l->down = down;
	if (down)
		for (int i = 0; i < 2; i++)
			discard(&l->dir[i], &l->dir[i].down);
	set_carrier(l, !down && !l->gone);
}

static size_t do_stats(const struct link *l, char *out, size_t size)
{
	int n = snprintf(out, size, " down=%d gone=%s", l->down,
			 !l->gone ? "-" : l->fd[0] >= 0 ? "b" : l->fd[1] >= 0 ? "a" : "ab");

	for (int i = 0; i < 2; i++) {
		const struct direction *d = &l->dir[i];

		n += snprintf(out + n, size - (size_t)n,
			      "\n%s silent=%d in_flight=%u rx=%" PRIu64 " rx_bytes=%" PRIu64
			      " tx=%" PRIu64 " tx_bytes=%" PRIu64 " lost=%" PRIu64
			      " silenced=%" PRIu64 " down=%" PRIu64 " queue_full=%" PRIu64
			      " overflow=%" PRIu64 " too_long=%" PRIu64 " refused=%" PRIu64
			      " late=%" PRIu64 " late_max_ns=%" PRIu64,
			      i ? "b->a" : "a->b", d->silent, d->ring.frames, d->rx, d->rx_bytes,
			      d->tx, d->tx_bytes, d->lost, d->silenced, d->down, d->queue_full,
			      d->overflow, d->too_long, d->refused, d->late, d->late_max);
	}
	return (size_t)n;
}

static const struct {
	const char *verb;
	int words;
	bool named; /* its first argument is an existing link */
} commands[] = {
	{ "hello", 1, false }, { "list", 1, false }, { "quit", 1, false }, { "add", 11, false },
	{ "set", 7, true },    { "down", 2, true },  { "up", 2, true },	   { "remove", 2, true },
	{ "stats", 2, true },  { "silence", 4, true },
};

/* Carry out one command; the payload goes to out. Returns NULL or why it was refused. */
static const char *command(char *line, int *fds, char *out, size_t size)
{
	char *word[TOKENS + 1], *rest = line;
	int words = 0, slot = -1;
	struct link *l = NULL;
	const char *verb;
	size_t c = 0;

	while (words <= TOKENS && (word[words] = strsep(&rest, " ")))
		words++;
	verb = word[0];
	while (c < sizeof(commands) / sizeof(*commands) && strcmp(commands[c].verb, verb))
		c++;
	if (c == sizeof(commands) / sizeof(*commands))
		return fail("unknown command %.32s", verb);
	if (words != commands[c].words)
		return fail("%s takes %d arguments", verb, commands[c].words - 1);
	if (strcmp(verb, "add") && (fds[0] >= 0 || fds[1] >= 0))
		return fail("%s takes no file descriptors", verb);
	if (commands[c].named) {
		slot = slot_of(word[1]);
		if (slot < 0)
			return fail("no link %.*s", NAME_SIZE, word[1]);
		l = links[slot];
	}
	if (!strcmp(verb, "hello")) {
		snprintf(out, size, " version=%d pid=%d realtime=%d locked=%d", PROTOCOL_VERSION,
			 getpid(), realtime, locked);
	} else if (!strcmp(verb, "list")) {
		for (int i = 0; i < MAX_LINKS; i++)
			if (links[i]) {
				int n = snprintf(out, size, " %s", links[i]->name);

				out += n;
				size -= (size_t)n;
			}
	} else if (!strcmp(verb, "quit")) {
		ending = true;
	} else if (!strcmp(verb, "add")) {
		return do_add(word, fds);
	} else if (!strcmp(verb, "set")) {
		struct impairment is;
		const char *error = read_impairment(word + 2, &is);

		if (error)
			return error;
		l->is = is;
		for (int i = 0; i < 2; i++)
			schedule(&l->dir[i]);
	} else if (!strcmp(verb, "down") || !strcmp(verb, "up")) {
		do_down(l, !strcmp(verb, "down"));
	} else if (!strcmp(verb, "remove")) {
		link_free(l);
		links[slot] = NULL;
	} else if (!strcmp(verb, "stats")) {
		do_stats(l, out, size);
	} else {
		return do_silence(l, word[2], word[3]);
	}
	return NULL;
}

static void client_close(struct source *c)
{
	close(c->fd);
	c->fd = -1;
}

static void client_read(struct source *c)
{
	char line[LINE_SIZE + 1], room[CMSG_SPACE(2 * sizeof(int))];
	struct iovec part = { line, LINE_SIZE };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = room,
				  .msg_controllen = sizeof(room) };
	int fds[2] = { -1, -1 }, head;
	const char *error = NULL;
	static char payload[REPLY_SIZE - 64];
	ssize_t len = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		client_close(c);
		return;
	}
	for (struct cmsghdr *m = CMSG_FIRSTHDR(&message); m; m = CMSG_NXTHDR(&message, m))
		if (m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS)
			memcpy(fds, CMSG_DATA(m), m->cmsg_len - CMSG_LEN(0));
	payload[0] = 0;
	line[len] = 0;
	if (message.msg_flags & MSG_TRUNC)
		error = fail("a command has at most %d bytes", LINE_SIZE);
	else if (message.msg_flags & MSG_CTRUNC)
		error = "at most two file descriptors";
	else if (!printable(line, (size_t)len))
		error = "a command is printable ASCII";
	else
		error = command(line, fds, payload, sizeof(payload));
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	head = error ? snprintf(reply, sizeof(reply), "err %s", error) :
		       snprintf(reply, sizeof(reply), "ok %" PRIu64 "%s", now_ns(), payload);
	/* A client that does not read its answers is let go rather than waited for. */
	if (send(c->fd, reply, (size_t)head, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		client_close(c);
}

static void client_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < MAX_CLIENTS; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &client[i] };

		if (client[i].fd >= 0)
			continue;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
			break;
		client[i].fd = fd;
		return;
	}
	close(fd);
}

/* ---- the loop ----------------------------------------------------------------------------- */

static void arm(void)
{
	static uint64_t armed;
	uint64_t next = heap_size ? heap[0]->key : 0;
	struct itimerspec when = { .it_value = { (time_t)(next / SECOND), (long)(next % SECOND) } };

	if (next == armed)
		return;
	armed = next;
	timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void die(const char *what)
{
	fprintf(stderr, "link_emulator: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(struct source *s)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = s };

	if (s->fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &event))
		die("epoll");
}

int main(int argc, char **argv)
{
	struct sched_param fifo = { .sched_priority = REALTIME_PRIORITY };
	struct source listener = { .kind = LISTEN }, ender = { .kind = SIGNAL };
	struct source clock = { .kind = TIMER }, names = { .kind = NAMES };
	uint64_t fd;
	sigset_t end;

	if (argc != 3 || !number(argv[1], 0, 1 << 20, &fd)) {
		fprintf(stderr, "usage: link_emulator FD DIR (a listening unix SEQPACKET socket, /run/netns)\n");
		return 2;
	}
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGHUP);
	sigprocmask(SIG_BLOCK, &end, NULL);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		die("epoll_create1");
	timer_fd = clock.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ender.fd = signalfd(-1, &end, SFD_CLOEXEC | SFD_NONBLOCK);
	listener.fd = (int)fd;
	names_fd = names.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (inotify_add_watch(names_fd, argv[2], IN_DELETE | IN_MOVED_FROM) < 0)
		die(argv[2]);
	watch(&listener);
	watch(&ender);
	watch(&clock);
	watch(&names);
	for (int i = 0; i < MAX_CLIENTS; i++)
		client[i] = (struct source){ .kind = CLIENT, .fd = -1 };
	/* Without these it works, but late under load: hello says so. */
	prctl(PR_SET_TIMERSLACK, 1);
	locked = !mlockall(MCL_CURRENT | MCL_FUTURE);
	realtime = !sched_setscheduler(0, SCHED_FIFO, &fifo);

	while (!ending) {
		struct epoll_event events[64];
		bool more = heap_size && heap[0]->key <= now_ns();
		int n;

		if (!more)
			arm();
		n = epoll_wait(epoll_fd, events, 64, more ? 0 : -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		deliver();
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			if (s->kind != DEVICE || s->link->fd[s->side] < 0)
				continue;
			if (events[i].events & (EPOLLERR | EPOLLHUP))
				end_gone(s->link, s->side);
			else
				receive(s->link, s->side);
			deliver();
		}
		/* After the devices: a command may free a link that has an event above. */
		if (n > 0)
			names_removed();
		for (int i = 0; i < n; i++) {
			struct source *s = events[i].data.ptr;

			if (s->kind == LISTEN)
				client_accept(s->fd);
			else if (s->kind == CLIENT && s->fd >= 0)
				client_read(s);
			else if (s->kind == SIGNAL)
				ending = true;
		}
	}
	return 0;
}
