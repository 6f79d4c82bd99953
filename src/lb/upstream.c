#include "lb/upstream.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/sock.h"

/* An idle connection that was not needed for so long is closed. */
#define IDLE_MAX_NS (60 * CLOCK_NS_PER_S)
/* ... and one beyond those that are to be kept. */
#define SURPLUS_MAX_NS CLOCK_NS_PER_S

enum { FIRST_ROOM = 16, LOOP_ROOM_MAX = 65536, TRIM_STEP = 64 };

struct server_load *server_load_new(void)
{
	void *memory = NULL;

	if (posix_memalign(&memory, sizeof(struct server_load), sizeof(struct server_load)) != 0)
		return NULL;
	struct server_load *l = memory;
	atomic_init(&l->active, 0);
	atomic_init(&l->refs, 1);
	return l;
}

struct server_load *server_load_share(struct server_load *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void server_load_drop(struct server_load *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) > 1)
		return;
	MUST(atomic_load_explicit(&l->active, memory_order_relaxed) ==
	        0); /* all that was counted has ended */
	free(l);
}

bool server_address(struct server *s, struct addr *out, unsigned *generation)
{
	lock_take(&s->addr_lock);
	*out = s->addr;
	*generation = server_generation(s);
	lock_drop(&s->addr_lock);
	return out->len > 0;
}

void server_set_address(struct server *s, const struct addr *addr)
{
	lock_take(&s->addr_lock);
	s->addr = *addr;
	atomic_fetch_add_explicit(&s->generation, 1, memory_order_relaxed);
	lock_drop(&s->addr_lock);
}

void idle_init(struct idle_set *s, bool shared, unsigned keep)
{
	*s = (struct idle_set){.shared = shared, .keep = keep};
	lock_init(&s->lock);
}

void idle_free(struct idle_set *s)
{
	lock_destroy(&s->lock);
	free(s->at);
}

static void enter(struct idle_set *s)
{
	if (s->shared)
		lock_take(&s->lock);
}

static void leave(struct idle_set *s)
{
	if (s->shared)
		lock_drop(&s->lock);
}

/* The youngest; false when it is too old already, as all the others are then. */
static bool pop(struct idle_set *s, int64_t now, int64_t max_idle, struct idle *out)
{
	bool got;

	enter(s);
	got = s->count > 0 && now - s->at[s->count - 1].since <= max_idle;
	if (got)
		*out = s->at[--s->count];
	leave(s);
	return got;
}

int idle_take(struct idle_set *s, struct io *io, int64_t now, int64_t max_idle, unsigned generation,
        unsigned *stale)
{
	struct idle c;

	*stale = 0;
	while (pop(s, now, max_idle, &c)) {
		if (c.generation == generation && (s->shared ? sock_is_quiet(c.fd) : io_is_quiet(io, c.fd)))
			return c.fd;
		io_close(io,
		        c.fd); /* to an older address; closed by the server, or it sent what nobody asked for (RFC 9112 section 9.2) */
		(*stale)++;
	}
	return -1;
}

static bool make_room(struct idle_set *s)
{
	unsigned most = s->shared ? s->keep : LOOP_ROOM_MAX;
	unsigned room = s->room ? 2 * s->room : FIRST_ROOM;

	if (s->count < s->room)
		return true;
	if (room > most)
		room = most;
	struct idle *at = room > s->room ? realloc(s->at, room * sizeof(*at)) : NULL;
	if (!at)
		return false;
	s->at = at;
	s->room = room;
	return true;
}

void idle_keep(struct idle_set *s, struct io *io, int fd, unsigned generation, int64_t now)
{
	int surplus = -1;

	if (s->keep == 0 || (!s->shared && !io_rest(io, fd))) {
		io_close(io, fd);
		return;
	}
	enter(s);
	/* The bottom of the stack is used only under more load than there was for long: let it go. */
	if (s->shared && s->count > 0 && now - s->at[0].since > IDLE_MAX_NS) {
		surplus = s->at[0].fd;
		memmove(&s->at[0], &s->at[1], --s->count * sizeof(s->at[0]));
	}
	if (make_room(s)) {
		s->at[s->count++] = (struct idle){fd, generation, now};
		fd = -1;
	}
	leave(s);
	if (surplus >= 0)
		io_close(io, surplus);
	if (fd >= 0)
		io_close(io, fd);
}

/* Takes out up to `room` of those that are to go; the lock is held. True: there may be more. */
static bool take_surplus(
        struct idle_set *s, struct io *io, unsigned generation, int64_t now, int gone[], unsigned *n)
{
	unsigned kept = 0;
	unsigned surplus = s->count > s->keep ? s->count - s->keep : 0;

	*n = 0;
	for (unsigned i = 0; i < s->count; i++) { /* the oldest first */
		const struct idle *c = &s->at[i];
		int64_t most = i < surplus ? SURPLUS_MAX_NS : IDLE_MAX_NS;
		bool good = now - c->since <= most && c->generation == generation &&
		            (s->shared ? sock_is_quiet(c->fd) : io_is_quiet(io, c->fd));

		if (!good && *n < TRIM_STEP)
			gone[(*n)++] = c->fd;
		else
			s->at[kept++] = *c;
	}
	s->count = kept;
	return *n == TRIM_STEP;
}

void idle_trim(struct idle_set *s, struct io *io, unsigned generation, int64_t now)
{
	int gone[TRIM_STEP];
	unsigned n;
	bool more;

	do {
		enter(s);
		more = take_surplus(s, io, generation, now, gone, &n);
		leave(s);
		for (unsigned i = 0; i < n; i++)
			io_close(io, gone[i]);
	} while (more);
}

void idle_move(struct idle_set *from, struct io *io, unsigned of, struct idle_set *to, unsigned generation)
{
	struct idle *at;
	unsigned count;

	enter(from);
	at = from->at;
	count = from->count;
	from->at = NULL;
	from->count = from->room = 0;
	leave(from);
	for (unsigned i = 0; i < count; i++) {
		bool moves = at[i].generation == of && to->keep > 0;

		enter(to);
		moves = moves && make_room(to);
		if (moves)
			to->at[to->count++] = (struct idle){at[i].fd, generation, at[i].since};
		leave(to);
		if (!moves)
			io_close(io, at[i].fd);
	}
	free(at);
}

void idle_clear(struct idle_set *s, struct io *io)
{
	enter(s);
	while (s->count > 0)
		io_close(io, s->at[--s->count].fd);
	leave(s);
}
