/* The floor: the least a server has to do to answer the benchmark's requests, in C with one thread and one epoll loop.
 *
 *   floor --port PORT [--ttft SECONDS] [--gap SECONDS] [--tokens 200]
 *
 * A request whose body asks for a stream gets --tokens events: in one write when --gap is 0, otherwise one write per
 * token at its absolute moment, all moments in one heap and one timerfd armed for the earliest. Any other request gets
 * one fixed JSON answer. Nothing is parsed but the length of the body: this is the limit, not a product.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_LIMIT = 65536, FEW_EVENTS = 256 };

typedef struct Connection {
    struct Connection *next_dropped;
    int fd;
    char *request;
    size_t request_length, request_room;
    const char *pending; /* what the socket did not take yet */
    size_t pending_length;
    double begun, due;
    size_t next, place; /* next frame; place in the heap, counted from 1, 0 when it is not there */
    bool is_closed;
} Connection;

static const char *const WORDS[] = {"the", "sun", "was", "out", "and", "she", "had", "one", "big", "red",
                                    "car", "but", "his", "dog", "did", "not", "see", "who", "ran", "off"};
static double ttft = 0.02, gap = 0.02;
static size_t tokens = 200;
static char *json, *stream;          /* whole answers, head included */
static size_t json_length, stream_length;
static size_t *frames;               /* frame k is stream[frames[k] .. frames[k + 1]] */
static Connection **heap, *dropped;
static size_t heap_count, heap_room;
static int poller, alarm_clock;
static double armed;

static void die(const char *what) {
    perror(what);
    exit(2);
}

static void *allocate(void *old, size_t size) {
    void *new = realloc(old, size);
    if (!new) die("memory");
    return new;
}

static double now(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec * 1e-9;
}

/* ---------------------------------------------------------------------------------------- the heap of deadlines */

static void put(size_t place, Connection *connection) {
    heap[place] = connection;
    connection->place = place;
}

static void sift(size_t place) {
    Connection *connection = heap[place];
    for (; place > 1 && heap[place / 2]->due > connection->due; place /= 2) put(place, heap[place / 2]);
    for (size_t child; (child = place * 2) <= heap_count; place = child) {
        if (child < heap_count && heap[child + 1]->due < heap[child]->due) child++;
        if (heap[child]->due >= connection->due) break;
        put(place, heap[child]);
    }
    put(place, connection);
}

static void enter(Connection *connection) {
    if (heap_count + 2 > heap_room) heap = allocate(heap, (heap_room = heap_room ? heap_room * 2 : 1024) * sizeof *heap);
    put(++heap_count, connection);
    sift(heap_count);
}

static void leave(Connection *connection) {
    size_t place = connection->place;
    connection->place = 0;
    Connection *last = heap[heap_count--];
    if (last == connection) return;
    put(place, last);
    sift(place);
}

static void arm(void) {
    double due = heap_count ? heap[1]->due : 0;
    if (due == armed) return;
    armed = due;
    struct itimerspec setting = {.it_value = {.tv_sec = (time_t)due, .tv_nsec = (long)((due - (double)(time_t)due) * 1e9)}};
    timerfd_settime(alarm_clock, TFD_TIMER_ABSTIME, &setting, NULL);
}

/* ---------------------------------------------------------------------------------------- connections */

static void watch(Connection *connection, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    epoll_ctl(poller, how, connection->fd, &event);
}

static void drop(Connection *connection) {
    if (connection->place) leave(connection);
    close(connection->fd);
    connection->is_closed = true; /* and freed after the batch: a later event of it may name it */
    connection->next_dropped = dropped;
    dropped = connection;
}

static void write_out(Connection *connection, const char *data, size_t length) {
    ssize_t count = connection->pending_length ? 0 : send(connection->fd, data, length, MSG_NOSIGNAL);
    if (count < 0) {
        if (errno != EAGAIN) {
            drop(connection);
            return;
        }
        count = 0;
    }
    if ((size_t)count == length) return;
    /* The frames lie in a row, so what waits only grows at its end. */
    if (!connection->pending_length) {
        connection->pending = data + count;
        watch(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
    connection->pending_length += length - (size_t)count;
}

static void write_rest(Connection *connection) {
    ssize_t count = send(connection->fd, connection->pending, connection->pending_length, MSG_NOSIGNAL);
    if (count < 0) {
        if (errno != EAGAIN) drop(connection);
        return;
    }
    connection->pending += count;
    connection->pending_length -= (size_t)count;
    if (!connection->pending_length) watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void send_due(double moment) {
    while (heap_count && heap[1]->due <= moment) {
        Connection *connection = heap[1];
        size_t frame = connection->next++;
        if (connection->next < tokens) {
            connection->due = connection->begun + ttft + (double)connection->next * gap;
            sift(1);
        } else {
            leave(connection);
        }
        write_out(connection, stream + frames[frame], frames[frame + 1] - frames[frame]);
    }
    arm();
}

static void answer(Connection *connection, const char *body, size_t length) {
    bool is_stream = memmem(body, length, "\"stream\":true", 13) || memmem(body, length, "\"stream\": true", 14);
    if (!is_stream) {
        write_out(connection, json, json_length);
    } else if (gap == 0) {
        write_out(connection, stream, stream_length);
    } else {
        connection->begun = now();
        connection->due = connection->begun + ttft;
        connection->next = 0;
        enter(connection);
        arm();
    }
}

static void read_requests(Connection *connection) {
    if (connection->request_length == connection->request_room) {
        connection->request_room = connection->request_room ? connection->request_room * 2 : 2048;
        if (connection->request_room > REQUEST_LIMIT * 64) {
            drop(connection);
            return;
        }
        connection->request = allocate(connection->request, connection->request_room);
    }
    ssize_t count = read(connection->fd, connection->request + connection->request_length, connection->request_room - connection->request_length);
    if (count <= 0) {
        if (count == 0 || errno != EAGAIN) drop(connection);
        return;
    }
    connection->request_length += (size_t)count;
    while (!connection->is_closed) {
        char *end = memmem(connection->request, connection->request_length, "\r\n\r\n", 4);
        if (!end) return;
        *end = 0; /* the head has become a string */
        char *length_header = strcasestr(connection->request, "\r\ncontent-length:");
        *end = '\r';
        size_t head = (size_t)(end - connection->request) + 4;
        size_t length = length_header ? strtoul(length_header + 17, NULL, 10) : 0;
        if (connection->request_length < head + length) return;
        answer(connection, connection->request + head, length);
        connection->request_length -= head + length;
        memmove(connection->request, connection->request + head + length, connection->request_length);
    }
}

static void take_connections(int listener) {
    int yes = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Connection *connection = allocate(NULL, sizeof *connection);
        memset(connection, 0, sizeof *connection);
        connection->fd = fd;
        watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    }
}

/* ---------------------------------------------------------------------------------------- what is sent */

static size_t add_chunk(size_t at, const char *text) {
    return at + (size_t)sprintf(stream + at, "%zx\r\n%s\r\n", strlen(text), text);
}

static void make_answers(void) {
    static const char id[] = "chatcmpl-0123456789abcdef0123456789abcdef";
    char *content = allocate(NULL, tokens * 4 + 1), *body = allocate(NULL, tokens * 4 + 512), event[512];
    size_t kinds = sizeof WORDS / sizeof *WORDS, at = 0;
    for (size_t i = 0; i < tokens; i++) at += (size_t)sprintf(content + at, "%s%s", i ? " " : "", WORDS[i % kinds]);
    int length = sprintf(body,
                         "{\"id\":\"%s\",\"object\":\"chat.completion\",\"created\":1699999999,\"model\":\"deepseek-v3\",\"choices\":[{\"message\":"
                         "{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":%zu,"
                         "\"total_tokens\":%zu}}",
                         id, content, tokens, tokens + 10);
    json = allocate(NULL, (size_t)length + 256);
    json_length = (size_t)sprintf(json, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", length, body);

    stream = allocate(NULL, tokens * 320 + 1024);
    frames = allocate(NULL, (tokens + 1) * sizeof *frames);
    frames[0] = 0;
    at = (size_t)sprintf(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < tokens; i++) {
        sprintf(event, "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":1699999999,\"model\":\"deepseek-v3\",\"choices\":[{\"index\":0,"
                       "\"delta\":{\"content\":\"%s%s\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n", id, i ? " " : "", WORDS[i % kinds]);
        at = add_chunk(at, event);
        frames[i + 1] = at;
    }
    sprintf(event, "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":1699999999,\"model\":\"deepseek-v3\",\"choices\":[{\"index\":0,"
                   "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n", id);
    at = add_chunk(at, event);
    at = add_chunk(at, "data: [DONE]\n\n");
    at += (size_t)sprintf(stream + at, "0\r\n\r\n");
    frames[tokens] = stream_length = at;
    free(content);
    free(body);
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"port", 1, 0, 'p'}, {"ttft", 1, 0, 't'}, {"gap", 1, 0, 'g'}, {"tokens", 1, 0, 'k'}, {0, 0, 0, 0}};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event events[FEW_EVENTS];
    int option, yes = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'p') address.sin_port = htons((uint16_t)atoi(optarg));
        else if (option == 't') ttft = atof(optarg);
        else if (option == 'g') gap = atof(optarg);
        else if (option == 'k') tokens = strtoul(optarg, NULL, 10);
        else return 2;
    }
    if (!address.sin_port || !tokens) {
        fputs("usage: floor --port PORT [--ttft 0.02] [--gap 0.02] [--tokens 200]\n", stderr);
        return 2;
    }
    make_answers();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) die("listen");
    poller = epoll_create1(EPOLL_CLOEXEC);
    alarm_clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &alarm_clock;
    epoll_ctl(poller, EPOLL_CTL_ADD, alarm_clock, &event);

    for (;;) {
        int ready = epoll_wait(poller, events, FEW_EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.ptr == &listener) {
                take_connections(listener);
            } else if (events[i].data.ptr == &alarm_clock) {
                unsigned long long expirations;
                if (read(alarm_clock, &expirations, sizeof expirations) < 0 && errno != EAGAIN) die("timerfd");
                armed = 0;
                send_due(now());
            } else {
                Connection *connection = events[i].data.ptr;
                if (!connection->is_closed && events[i].events & EPOLLOUT) write_rest(connection);
                if (!connection->is_closed && events[i].events & ~(uint32_t)EPOLLOUT) read_requests(connection);
            }
        }
        while (dropped) {
            Connection *connection = dropped;
            dropped = connection->next_dropped;
            free(connection->request);
            free(connection);
        }
    }
}
