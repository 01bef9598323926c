/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK (512 * 1024)
/* The thread carries traffic: before what only computes. Without the right to it, like the others. */
#define NICE (-10)
/* Packets that wait in the device, as in a network card's ring. */
#define DEVICE_QUEUE 4096

/* Rows as Python reads them; mirrored by bongsu.system.repair.library. */
struct rp_sent_row {
	uint32_t peer, accelerator, kind, mode;
	uint32_t rows, depth, epoch, most;
	double residual;
	struct rp_sent sent;
	uint64_t copies;
	uint32_t judged, lost, runs, repaired, late, unused;
};

struct rp_received_row {
	uint32_t peer, accelerator, kind, unused;
	struct rp_received received;
};

struct rp_peer_row {
	uint32_t number, alive;
};

int rp_new(struct rp_engine **made, uint32_t number, uint16_t port, const uint8_t *key,
	   uint32_t epoch);
int rp_start(struct rp_engine *engine, const char *device);
void rp_free(struct rp_engine *engine);
int rp_set_peers(struct rp_engine *engine, const struct rp_peer_config *configs, uint32_t count);
int rp_set_mode(struct rp_engine *engine, uint32_t accelerator, uint32_t kind,
		const struct rp_mode *mode);
void rp_forget(struct rp_engine *engine, uint32_t accelerator, uint32_t kind);
int rp_set_paths(struct rp_engine *engine, uint32_t number, uint32_t count, uint32_t family,
		 const uint8_t *hops);
uint32_t rp_ifindex(const struct rp_engine *engine);
int32_t rp_failed(const struct rp_engine *engine);
uint32_t rp_epoch(struct rp_engine *engine);
uint32_t rp_sent_rows(struct rp_engine *engine, struct rp_sent_row *out, uint32_t room);
uint32_t rp_received_rows(struct rp_engine *engine, struct rp_received_row *out, uint32_t room);
uint32_t rp_peer_rows(struct rp_engine *engine, struct rp_peer_row *out, uint32_t room);
void rp_counts_read(struct rp_engine *engine, struct rp_counts *out);
extern const uint32_t rp_sizes[], rp_offsets[];

/* Bytes of the structures that Python mirrors, in this order; a test compares them. */
const uint32_t rp_sizes[] = {
	sizeof(struct rp_peer_config), sizeof(struct rp_mode), sizeof(struct rp_sent_row),
	sizeof(struct rp_received_row), sizeof(struct rp_peer_row), sizeof(struct rp_counts),
	sizeof(struct rp_sender), sizeof(struct rp_receiver), sizeof(struct rp_pool),
};

/* Where a test finds what it sets and reads. */
const uint32_t rp_offsets[] = {
	offsetof(struct rp_receiver, delay_us), offsetof(struct rp_receiver, received),
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000ULL + (uint64_t)now.tv_nsec / 1000;
}

static int watch(struct rp_engine *engine, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(engine->poll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* A stopped engine without a device. `key` may be NULL: nothing is authenticated then. */
int rp_new(struct rp_engine **made, uint32_t number, uint16_t port, const uint8_t *key,
	   uint32_t epoch)
{
	struct rp_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return -ENOMEM;
	rp_code_init();
	pthread_mutex_init(&engine->lock, NULL);
	engine->number = number;
	engine->port = port;
	engine->epoch = epoch;
	engine->keyed = key;
	if (key)
		memcpy(engine->key, key, RP_KEY);
	engine->tun = -1;
	engine->poll = epoll_create1(EPOLL_CLOEXEC);
	engine->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->poll < 0 || engine->stop < 0 || watch(engine, engine->stop) ||
	    getrandom(&engine->nonce, sizeof(engine->nonce), 0) < 0 ||
	    !rp_pool_init(&engine->pool, RP_POOL)) {
		int failed = errno ? -errno : -ENOMEM;

		rp_free(engine);
		return failed;
	}
	*made = engine;
	return 0;
}

static int set_up(struct rp_engine *engine, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), failed = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFINDEX, request))
		failed = -errno;
	engine->ifindex = (uint32_t)request->ifr_ifindex;
	request->ifr_mtu = RP_LARGEST;
	if (!failed && ioctl(fd, SIOCSIFMTU, request))
		failed = -errno;
	request->ifr_qlen = DEVICE_QUEUE;
	if (!failed && ioctl(fd, SIOCSIFTXQLEN, request))
		failed = -errno;
	request->ifr_flags = IFF_UP | IFF_NOARP;
	if (!failed && ioctl(fd, SIOCSIFFLAGS, request))
		failed = -errno;
	close(fd);
	return failed;
}

/* It goes with the process, however that ends. */
static int open_device(struct rp_engine *engine, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN };

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	engine->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (engine->tun < 0 || ioctl(engine->tun, TUNSETIFF, &request))
		return -errno;
	return set_up(engine, &request);
}

static bool serve(struct rp_engine *engine, const struct epoll_event *events, int count)
{
	uint64_t now = now_us();

	for (int i = 0; i < count; i++) {
		if (events[i].data.fd == engine->stop)
			continue;
		if (events[i].data.fd == engine->tun)
			rp_from_device(engine, now);
		else
			rp_from_socket(engine, events[i].data.fd, now);
	}
	return !engine->failed;
}

static void *work(void *context)
{
	struct rp_engine *engine = context;
	struct epoll_event events[RP_SOCKETS + 2];
	struct timespec left;
	uint64_t next = 0, now;
	int count;

	pthread_setname_np(pthread_self(), "bongsu-repair");
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
	while (__atomic_load_n(&engine->running, __ATOMIC_ACQUIRE)) {
		now = now_us();
		now = next > now ? next - now : 0;
		left.tv_sec = (time_t)(now / 1000000);
		left.tv_nsec = (long)(now % 1000000 * 1000);
		count = epoll_pwait2(engine->poll, events, RP_SOCKETS + 2, &left, NULL);
		pthread_mutex_lock(&engine->lock);
		if (!serve(engine, events, count)) {
			pthread_mutex_unlock(&engine->lock);
			break;
		}
		next = rp_tick(engine, now_us());
		pthread_mutex_unlock(&engine->lock);
	}
	return NULL;
}

/* Makes the device and starts the thread, in the caller's network namespace. */
int rp_start(struct rp_engine *engine, const char *device)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int failed = open_device(engine, device);

	if (!failed)
		failed = watch(engine, engine->tun);
	if (failed)
		return failed;
	engine->running = 1;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	/* signals are Python's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = -pthread_create(&engine->thread, &attributes, work, engine);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (failed)
		engine->running = 0;
	return failed;
}

void rp_free(struct rp_engine *engine)
{
	int fds[] = { engine->tun, engine->poll, engine->stop };
	uint64_t one = 1;

	if (engine->running) {
		__atomic_store_n(&engine->running, 0, __ATOMIC_RELEASE);
		/* it wakes within REPORT_US anyway */
		if (write(engine->stop, &one, sizeof(one)) < 0)
			errno = 0;
		pthread_join(engine->thread, NULL);
	}
	rp_streams_free(engine);
	rp_peers_close(&engine->peers);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	rp_pool_free(&engine->pool);
	pthread_mutex_destroy(&engine->lock);
	free(engine);
}

/* These and no others, their sockets in the caller's network namespace. */
int rp_set_peers(struct rp_engine *engine, const struct rp_peer_config *configs, uint32_t count)
{
	int failed;

	pthread_mutex_lock(&engine->lock);
	rp_flush(engine);
	failed = rp_peers_set(&engine->peers, configs, count, engine->port, engine->poll);
	if (!failed)
		rp_streams_keep(engine);
	pthread_mutex_unlock(&engine->lock);
	return failed;
}

static void apply(struct rp_engine *engine, uint32_t accelerator, uint32_t kind,
		  const struct rp_mode *mode, uint64_t now)
{
	struct rp_stream *stream;

	for (uint32_t i = 0; i < engine->outgoing.count; i++) {
		stream = &engine->outgoing.stream[i];
		if (stream->accelerator == accelerator && stream->kind == kind)
			rp_stream_mode(engine, stream->outgoing, mode, now);
	}
	for (uint32_t i = 0; i < engine->incoming.count; i++) {
		stream = &engine->incoming.stream[i];
		if (stream->accelerator == accelerator && stream->kind == kind)
			stream->incoming->receiver.delay_us =
				mode->kind == RP_REED_SOLOMON ? mode->delay_us : 0;
	}
}

/* Of an accelerator that is known from now on, and whose packets are received whatever the mode. */
int rp_set_mode(struct rp_engine *engine, uint32_t accelerator, uint32_t kind,
		const struct rp_mode *mode)
{
	struct rp_known_mode *known;

	if (mode->kind > RP_DUPLICATE || kind > 1 ||
	    (mode->kind == RP_REED_SOLOMON && (!mode->block || mode->block > RP_BLOCK ||
					       !mode->overhead_percent ||
					       mode->overhead_percent > 100 || !mode->delay_us)))
		return -EINVAL;
	pthread_mutex_lock(&engine->lock);
	known = (struct rp_known_mode *)rp_mode_find(engine, accelerator, kind);
	if (!known && engine->modes == RP_MODES) {
		pthread_mutex_unlock(&engine->lock);
		return -ENOSPC;
	}
	if (known && !memcmp(&known->mode, mode, sizeof(*mode))) {
		/* what its streams have learned stays */
		pthread_mutex_unlock(&engine->lock);
		return 0;
	}
	if (!known)
		known = &engine->mode[engine->modes++];
	*known = (struct rp_known_mode){ accelerator, kind, *mode };
	rp_streams_keep(engine);
	apply(engine, accelerator, kind, mode, now_us());
	rp_flush(engine);
	pthread_mutex_unlock(&engine->lock);
	return 0;
}

void rp_forget(struct rp_engine *engine, uint32_t accelerator, uint32_t kind)
{
	struct rp_known_mode *known;

	pthread_mutex_lock(&engine->lock);
	known = (struct rp_known_mode *)rp_mode_find(engine, accelerator, kind);
	if (known)
		*known = engine->mode[--engine->modes];
	rp_streams_keep(engine);
	pthread_mutex_unlock(&engine->lock);
}

/* `hops`: 16 bytes each, addresses of peers. The first carries; copies go by the second. */
int rp_set_paths(struct rp_engine *engine, uint32_t number, uint32_t count, uint32_t family,
		 const uint8_t *hops)
{
	struct rp_peer *peer, *hop;
	uint32_t found[RP_PATHS] = { 0 };
	int failed = 0;

	if (!count || count > RP_PATHS)
		return -EINVAL;
	pthread_mutex_lock(&engine->lock);
	peer = rp_peers_number(&engine->peers, number);
	for (uint32_t i = 0; i < count && peer; i++) {
		hop = rp_peers_remote(&engine->peers, family, hops + 16 * i);
		if (!hop)
			break;
		found[i] = hop->config.number;
		if (i + 1 == count) {
			memcpy(peer->path, found, sizeof(peer->path));
			peer->paths = count;
			count = 0;
		}
	}
	failed = count ? -ENOENT : 0;
	pthread_mutex_unlock(&engine->lock);
	return failed;
}

uint32_t rp_ifindex(const struct rp_engine *engine)
{
	return engine->ifindex;
}

/* Why the thread ended by itself (errno), 0 while it works. */
int32_t rp_failed(const struct rp_engine *engine)
{
	return __atomic_load_n(&engine->failed, __ATOMIC_ACQUIRE);
}

/* The epoch of the next stream. */
uint32_t rp_epoch(struct rp_engine *engine)
{
	uint32_t epoch;

	pthread_mutex_lock(&engine->lock);
	epoch = engine->epoch;
	pthread_mutex_unlock(&engine->lock);
	return epoch;
}

uint32_t rp_sent_rows(struct rp_engine *engine, struct rp_sent_row *out, uint32_t room)
{
	const struct rp_outgoing *outgoing;
	const struct rp_stream *stream;
	uint32_t i;

	pthread_mutex_lock(&engine->lock);
	for (i = 0; i < engine->outgoing.count && i < room; i++) {
		stream = &engine->outgoing.stream[i];
		outgoing = stream->outgoing;
		out[i] = (struct rp_sent_row){
			.peer = stream->peer, .accelerator = stream->accelerator,
			.kind = stream->kind, .mode = outgoing->sender.mode.kind,
			.rows = outgoing->sender.choice.rows, .depth = outgoing->sender.choice.depth,
			.epoch = outgoing->sender.epoch, .most = outgoing->sender.most,
			.residual = outgoing->sender.choice.residual, .sent = outgoing->sender.sent,
			.copies = outgoing->copies, .judged = outgoing->sender.last.judged,
			.lost = outgoing->sender.last.lost, .runs = outgoing->sender.last.runs,
			.repaired = outgoing->sender.last.repaired,
			.late = outgoing->sender.last.late,
		};
	}
	pthread_mutex_unlock(&engine->lock);
	return i;
}

uint32_t rp_received_rows(struct rp_engine *engine, struct rp_received_row *out, uint32_t room)
{
	const struct rp_stream *stream;
	uint32_t i;

	pthread_mutex_lock(&engine->lock);
	for (i = 0; i < engine->incoming.count && i < room; i++) {
		stream = &engine->incoming.stream[i];
		out[i] = (struct rp_received_row){
			.peer = stream->peer, .accelerator = stream->accelerator,
			.kind = stream->kind, .received = stream->incoming->receiver.received,
		};
	}
	pthread_mutex_unlock(&engine->lock);
	return i;
}

uint32_t rp_peer_rows(struct rp_engine *engine, struct rp_peer_row *out, uint32_t room)
{
	const struct rp_peer *peer;
	uint32_t i;

	pthread_mutex_lock(&engine->lock);
	for (i = 0; i < engine->peers.count && i < room; i++) {
		peer = &engine->peers.peer[i];
		out[i] = (struct rp_peer_row){ peer->config.number,
					       rp_peer_alive(peer, now_us()) };
	}
	pthread_mutex_unlock(&engine->lock);
	return i;
}

void rp_counts_read(struct rp_engine *engine, struct rp_counts *out)
{
	pthread_mutex_lock(&engine->lock);
	*out = engine->counts;
	pthread_mutex_unlock(&engine->lock);
}
