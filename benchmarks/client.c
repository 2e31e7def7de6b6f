/* The load client of the benchmarks: one thread, one epoll loop, one line of JSON on standard output.
 *
 *   client json    closed loop: --connections N ask again as soon as they are answered, for --seconds S
 *   client stream  the same, and every answer is a stream of server-sent events, taken as fast as it comes
 *   client paced   open: --streams N are started evenly within --ramp R seconds, each on a connection of its own, and
 *                  the moment of every token is kept; with --hold S an ended stream is replaced until S seconds passed
 *
 * Moments are taken right after the read that delivered the bytes, so what this client needs to work through a batch of
 * ready connections counts as the server's lateness. "batch_ms" says how much that can be.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16384, LINE_LIMIT = 8192, TAIL_SIZE = 24, READ_SIZE = 1 << 18, COUNTER_DIGITS = 9, SAMPLE_EVERY = 16 };

typedef enum { MODE_JSON, MODE_STREAM, MODE_PACED } Mode;
typedef enum { AT_CONNECT, AT_SEND, AT_HEAD, AT_BODY } Phase;
typedef enum { BY_LENGTH, BY_CHUNKS, BY_CLOSE } Framing;
typedef enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } ChunkPhase;
typedef enum { READ_MORE, READ_WHOLE, READ_BROKEN } Outcome;

typedef struct {
    float *values;
    size_t count, room;
} Series;

typedef struct {
    int fd;
    Phase phase;
    char *request;
    size_t sent;
    /* the head of the answer */
    char head[HEAD_LIMIT];
    size_t head_length;
    int status;
    bool keeps_open;
    Framing framing;
    ChunkPhase chunk_phase;
    bool chunk_extension;
    unsigned long long left;      /* bytes of the body, or of the chunk, still to come */
    unsigned trailer_line;        /* characters in the present line of the trailer */
    /* the events */
    bool reads_lines;             /* every line is looked at; otherwise only the end of the body */
    char line[LINE_LIMIT];
    size_t line_length;
    char tail[TAIL_SIZE];
    size_t tail_length;
    /* the moments */
    double started;
    double *moments;
    size_t tokens, room;
    unsigned answers;
} Connection;

static Mode mode;
static struct sockaddr_in address;
static char *template;
static size_t template_length, head_length_of_template, counter_at;
static bool head_first;
static bool has_counter;
static unsigned long long counter;
static int poller;
static double gap = 0.02;
static size_t wanted_tokens;
static bool wants_done = true;
static char buffer[READ_SIZE];

static unsigned long long answers, bytes, failures, sampled_streams, sampled_tokens;
static unsigned first_bad_status;
static Series latencies, firsts, interval_errors, schedule_errors, length_errors, batches;
static double interval_sum, length_sum;

static double now(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (double)moment.tv_sec + (double)moment.tv_nsec * 1e-9;
}

static void die(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, errno ? strerror(errno) : "not understood");
    exit(2);
}

static void *allocate(void *old, size_t size) {
    void *new = realloc(old, size);
    if (!new) die("memory");
    return new;
}

static void add(Series *series, double value) {
    if (series->count == series->room) {
        series->room = series->room ? series->room * 2 : 1 << 16;
        series->values = allocate(series->values, series->room * sizeof(float));
    }
    series->values[series->count++] = (float)value;
}

static int compare(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static void sort(Series *series) {
    if (series->count) qsort(series->values, series->count, sizeof(float), compare);
}

/* The series must be sorted. */
static double quantile(const Series *series, double share) {
    if (!series->count) return 0;
    size_t rank = (size_t)ceil(share * (double)series->count);
    return series->values[rank ? rank - 1 : 0];
}

static double mean(const Series *series) {
    double sum = 0;
    for (size_t i = 0; i < series->count; i++) sum += series->values[i];
    return series->count ? sum / (double)series->count : 0;
}

/* ---------------------------------------------------------------------------------------- requests */

static void watch(Connection *connection, int how, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poller, how, connection->fd, &event)) die("epoll_ctl");
}

static void expect_answer(Connection *connection) {
    connection->head_length = connection->line_length = connection->tail_length = connection->tokens = 0;
    connection->sent = 0;
    connection->reads_lines = mode == MODE_PACED || (mode == MODE_STREAM && connection->answers++ % SAMPLE_EVERY == 0);
    if (has_counter) {
        /* A fixed width keeps the Content-Length true. */
        char digits[COUNTER_DIGITS + 1];
        snprintf(digits, sizeof digits, "%0*llu", COUNTER_DIGITS, counter++ % 1000000000ULL);
        memcpy(connection->request + counter_at, digits, COUNTER_DIGITS);
    }
}

static bool send_rest(Connection *connection) {
    /* Many clients write the head and the body one after the other. */
    size_t end = head_first && connection->sent < head_length_of_template ? head_length_of_template : template_length;
    ssize_t count = send(connection->fd, connection->request + connection->sent, end - connection->sent, MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    connection->sent += (size_t)count;
    if (connection->sent == end && end < template_length) return send_rest(connection);
    bool is_sent = connection->sent == template_length;
    if (is_sent && connection->phase != AT_HEAD) watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    if (!is_sent && connection->phase == AT_HEAD) watch(connection, EPOLL_CTL_MOD, EPOLLOUT);
    connection->phase = is_sent ? AT_HEAD : AT_SEND;
    return true;
}

static void ask_again(Connection *connection) {
    expect_answer(connection);
    connection->started = now();
    connection->phase = AT_HEAD;
    send_rest(connection);
}

static void open_connection(Connection *connection) {
    int yes = 1;
    expect_answer(connection);
    connection->started = now();
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) die("socket");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    connection->phase = AT_CONNECT;
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) die("connect");
    watch(connection, EPOLL_CTL_ADD, EPOLLOUT);
}

static void close_connection(Connection *connection) {
    close(connection->fd);
    connection->fd = -1;
}

/* ---------------------------------------------------------------------------------------- answers */

/* A line counts as a token when it carries a non-empty "content", however the server spaces its JSON. */
static bool is_token(const char *line, size_t length) {
    static const char key[] = "\"content\":";
    if (length < 6 || memcmp(line, "data:", 5)) return false;
    const char *end = line + length, *value = memmem(line + 5, length - 5, key, sizeof key - 1);
    if (!value) return false;
    for (value += sizeof key - 1; value < end && *value == ' '; value++) {}
    return end - value > 1 && value[0] == '"' && value[1] != '"';
}

static void take_line(Connection *connection, const char *line, size_t length, double moment) {
    if (!is_token(line, length)) return;
    if (mode == MODE_PACED) {
        if (connection->tokens == connection->room) {
            connection->room *= 2;
            connection->moments = allocate(connection->moments, connection->room * sizeof(double));
        }
        connection->moments[connection->tokens] = moment;
    }
    connection->tokens++;
}

static void take_body(Connection *connection, const char *data, size_t length, double moment) {
    size_t kept = length < TAIL_SIZE ? length : TAIL_SIZE;
    if (kept < TAIL_SIZE) {
        size_t old = connection->tail_length;
        if (old + kept > TAIL_SIZE) {
            memmove(connection->tail, connection->tail + old + kept - TAIL_SIZE, TAIL_SIZE - kept);
            old = TAIL_SIZE - kept;
        }
        memcpy(connection->tail + old, data + length - kept, kept);
        connection->tail_length = old + kept;
    } else {
        memcpy(connection->tail, data + length - kept, kept);
        connection->tail_length = kept;
    }
    bytes += length;
    if (!connection->reads_lines) return;
    while (length) {
        const char *end = memchr(data, '\n', length);
        size_t part = end ? (size_t)(end - data) : length;
        if (end && !connection->line_length) {
            take_line(connection, data, part, moment);
        } else {
            size_t room = LINE_LIMIT - connection->line_length, copied = part < room ? part : room;
            memcpy(connection->line + connection->line_length, data, copied);
            connection->line_length += copied;
            if (end) {
                take_line(connection, connection->line, connection->line_length, moment);
                connection->line_length = 0;
            }
        }
        if (!end) return;
        data += part + 1;
        length -= part + 1;
    }
}

static int digit(char character) {
    if (character >= '0' && character <= '9') return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static Outcome take_chunks(Connection *connection, const char *data, size_t length, double moment) {
    const char *end = data + length;
    while (data < end) {
        switch (connection->chunk_phase) {
        case CHUNK_SIZE: {
            char character = *data++;
            int value = digit(character);
            if (character == '\n') {
                connection->chunk_extension = false;
                connection->trailer_line = 0;
                connection->chunk_phase = connection->left ? CHUNK_DATA : CHUNK_TRAILER;
            } else if (character == ';') {
                connection->chunk_extension = true;
            } else if (character != '\r' && !connection->chunk_extension) {
                if (value < 0) return READ_BROKEN;
                connection->left = connection->left * 16 + (unsigned)value;
            }
            break;
        }
        case CHUNK_DATA: {
            size_t part = (size_t)(end - data);
            if (part > connection->left) part = connection->left;
            take_body(connection, data, part, moment);
            data += part;
            connection->left -= part;
            if (!connection->left) connection->chunk_phase = CHUNK_END;
            break;
        }
        case CHUNK_END:
            if (*data++ == '\n') connection->chunk_phase = CHUNK_SIZE;
            break;
        case CHUNK_TRAILER: {
            char character = *data++;
            if (character == '\n') {
                if (!connection->trailer_line) return READ_WHOLE;
                connection->trailer_line = 0;
            } else if (character != '\r') {
                connection->trailer_line++;
            }
            break;
        }
        }
    }
    return READ_MORE;
}

static bool starts_with(const char *line, const char *end, const char *name) {
    size_t length = strlen(name);
    return (size_t)(end - line) >= length && !strncasecmp(line, name, length);
}

static bool contains(const char *line, const char *end, const char *word) {
    for (size_t length = strlen(word); (size_t)(end - line) >= length; line++)
        if (!strncasecmp(line, word, length)) return true;
    return false;
}

static bool read_head(Connection *connection, const char *head, size_t length) {
    const char *end = head + length, *line = memchr(head, '\n', length);
    if (length < 12 || memcmp(head, "HTTP/1.", 7) || !line) return false;
    connection->status = atoi(head + 9);
    connection->keeps_open = true;
    connection->framing = BY_CLOSE;
    connection->left = 0;
    connection->chunk_phase = CHUNK_SIZE;
    connection->chunk_extension = false;
    for (line++; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        if (starts_with(line, stop, "content-length:")) {
            connection->framing = BY_LENGTH;
            connection->left = strtoull(line + 15, NULL, 10);
        } else if (starts_with(line, stop, "transfer-encoding:") && contains(line, stop, "chunked")) {
            connection->framing = BY_CHUNKS;
        } else if (starts_with(line, stop, "connection:") && contains(line, stop, "close")) {
            connection->keeps_open = false;
        }
        line = stop + 1;
    }
    if (connection->framing == BY_CLOSE) connection->keeps_open = false;
    return true;
}

static Outcome take(Connection *connection, const char *data, size_t length, double moment) {
    if (connection->phase == AT_HEAD) {
        /* Most answers come with the head in one piece; then nothing is copied. */
        const char *head = data, *end;
        size_t before = connection->head_length;
        if (before) {
            size_t room = HEAD_LIMIT - before, copied = length < room ? length : room;
            memcpy(connection->head + before, data, copied);
            connection->head_length += copied;
            head = connection->head;
        }
        size_t seen = before ? connection->head_length : length;
        end = memmem(head, seen, "\r\n\r\n", 4);
        if (!end) {
            if (!before) {
                if (length > HEAD_LIMIT) return READ_BROKEN;
                memcpy(connection->head, data, length);
                connection->head_length = length;
            }
            return connection->head_length == HEAD_LIMIT ? READ_BROKEN : READ_MORE;
        }
        size_t head_length = (size_t)(end - head) + 4;
        if (!read_head(connection, head, head_length)) return READ_BROKEN;
        data += head_length - before;
        length -= head_length - before;
        connection->phase = AT_BODY;
    }
    switch (connection->framing) {
    case BY_CHUNKS: return take_chunks(connection, data, length, moment);
    case BY_CLOSE: take_body(connection, data, length, moment); return READ_MORE;
    case BY_LENGTH:
        if (length > connection->left) return READ_BROKEN;
        take_body(connection, data, length, moment);
        connection->left -= length;
        return connection->left ? READ_MORE : READ_WHOLE;
    }
    return READ_BROKEN;
}

static bool is_good(const Connection *connection) {
    if (connection->status != 200) {
        if (!first_bad_status) first_bad_status = (unsigned)connection->status;
        return false;
    }
    if (mode == MODE_JSON) return true;
    if (wants_done && !memmem(connection->tail, connection->tail_length, "[DONE]", 6)) return false;
    return !connection->reads_lines || !wants_done || (wanted_tokens ? connection->tokens == wanted_tokens : connection->tokens > 0);
}

static void keep_moments(const Connection *connection) {
    const double *moments = connection->moments;
    size_t count = connection->tokens;
    add(&firsts, moments[0] - connection->started);
    for (size_t i = 1; i < count; i++) {
        double interval = moments[i] - moments[i - 1];
        interval_sum += interval;
        add(&interval_errors, fabs(interval - gap));
        add(&schedule_errors, fabs(moments[i] - moments[0] - (double)i * gap));
    }
    if (count > 1) {
        double error = (moments[count - 1] - moments[0]) / ((double)(count - 1) * gap) - 1;
        length_sum += error;
        add(&length_errors, fabs(error));
    }
}

static void count_answer(Connection *connection, double moment) {
    if (!is_good(connection)) {
        failures++;
        return;
    }
    answers++;
    if (mode == MODE_PACED) {
        keep_moments(connection);
    } else {
        add(&latencies, moment - connection->started);
        if (connection->reads_lines) {
            sampled_streams++;
            sampled_tokens += connection->tokens;
        }
    }
}

/* Whether the answer has ended, well or not. */
static bool advance(Connection *connection, uint32_t events, double *moment) {
    if (connection->phase == AT_CONNECT || connection->phase == AT_SEND) {
        if (!(events & EPOLLERR) && send_rest(connection)) return false;
        connection->keeps_open = false;
        failures++;
        return true;
    }
    ssize_t count = read(connection->fd, buffer, sizeof buffer);
    *moment = now();
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    Outcome outcome = READ_BROKEN;
    if (count > 0) outcome = take(connection, buffer, (size_t)count, *moment);
    else if (!count && connection->phase == AT_BODY && connection->framing == BY_CLOSE) outcome = READ_WHOLE;
    if (outcome == READ_MORE) return false;
    if (outcome == READ_BROKEN) {
        connection->keeps_open = false;
        failures++;
    } else {
        count_answer(connection, *moment);
    }
    return true;
}

/* ---------------------------------------------------------------------------------------- runs */

static Connection *make_connections(size_t count) {
    Connection *connections = allocate(NULL, count * sizeof(Connection));
    memset(connections, 0, count * sizeof(Connection));
    for (size_t i = 0; i < count; i++) {
        connections[i].fd = -1;
        connections[i].request = allocate(NULL, template_length);
        memcpy(connections[i].request, template, template_length);
        connections[i].room = mode == MODE_PACED ? (wanted_tokens ? wanted_tokens + 8 : 512) : 1;
        connections[i].moments = allocate(NULL, connections[i].room * sizeof(double));
        memset(connections[i].moments, 0, connections[i].room * sizeof(double));
    }
    return connections;
}

static size_t run_closed(size_t count, double seconds) {
    Connection *connections = make_connections(count);
    struct epoll_event events[256];
    double start = now(), moment = start;
    for (size_t i = 0; i < count; i++) open_connection(&connections[i]);
    while (moment - start < seconds) {
        int ready = epoll_wait(poller, events, 256, 100);
        double woken = moment = now();
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!advance(connection, events[i].events, &moment)) continue;
            if (failures > 1000 && failures > answers) return count; /* it refuses: do not hammer it */
            if (connection->keeps_open) {
                ask_again(connection);
            } else {
                close_connection(connection);
                open_connection(connection);
            }
        }
        if (ready > 0) add(&batches, moment - woken);
    }
    return count;
}

static size_t run_paced(size_t count, double ramp, double hold, double limit) {
    Connection *connections = make_connections(count);
    struct epoll_event events[256];
    size_t begun = 0, started = 0, running = 0;
    double start = now(), moment = start;
    while (begun < count || running) {
        while (begun < count && moment - start >= ramp * (double)begun / (double)count) {
            open_connection(&connections[begun++]);
            started++;
            running++;
        }
        if (moment - start > limit) break;
        int timeout = 100;
        if (begun < count) {
            double wait = start + ramp * (double)begun / (double)count - now();
            timeout = wait <= 0 ? 0 : wait < 0.1 ? (int)ceil(wait * 1000) : 100;
        }
        int ready = epoll_wait(poller, events, 256, timeout);
        double woken = moment = now();
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (!advance(connection, events[i].events, &moment)) continue;
            close_connection(connection);
            if (moment - start < hold) {
                open_connection(connection);
                started++;
            } else {
                running--;
            }
        }
        moment = now();
        if (ready > 0) add(&batches, moment - woken);
    }
    return started;
}

/* ---------------------------------------------------------------------------------------- the command line */

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    size_t room = 1 << 16;
    char *text = allocate(NULL, room);
    *length = 0;
    for (size_t count; (count = fread(text + *length, 1, room - *length, file)) > 0;) {
        *length += count;
        if (*length == room) text = allocate(text, room *= 2);
    }
    fclose(file);
    return text;
}

/* Head and body in one buffer; the first "%d" of the body becomes a number that no other request has. */
static void make_template(const char *path, const char *headers, const char *body_path) {
    size_t length = 0;
    char *body = body_path ? read_file(body_path, &length) : allocate(NULL, 1);
    char *mark = memmem(body, length, "%d", 2);
    size_t body_length = length + (mark ? COUNTER_DIGITS - 2 : 0);
    template = allocate(NULL, strlen(path) + strlen(headers) + body_length + 256);
    int head_length = sprintf(template, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%sContent-Length: %zu\r\n\r\n", body_path ? "POST" : "GET", path, headers, body_length);
    template_length = (size_t)head_length + body_length;
    head_length_of_template = (size_t)head_length;
    char *target = template + head_length;
    if (mark) {
        size_t before = (size_t)(mark - body);
        memcpy(target, body, before);
        counter_at = (size_t)head_length + before;
        memcpy(target + before + COUNTER_DIGITS, mark + 2, length - before - 2);
        has_counter = true;
    } else {
        memcpy(target, body, length);
    }
    free(body);
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void usage(void) {
    fputs("usage: client json|stream|paced --port PORT [--host ADDRESS] [--path PATH] [--header 'Name: value']... [--body FILE]\n"
          "  json, stream: [--connections 32] [--seconds 3]\n"
          "  paced:        [--streams 1000] [--ramp 1] [--hold 0] [--gap 0.02] [--limit 60]\n"
          "  streams:      [--tokens N]  the number of tokens that makes a stream complete (0: any)  [--any-end]  no [DONE] and no tokens are needed\n"
          "  --head-first: the head is written before the body\n"
          "  a %d in the body becomes a number of nine digits that is new in every request; [--counter N] is the first\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *path = "/", *body = NULL;
    char *headers = allocate(NULL, 1);
    int port = 0, option;
    size_t connections = 32, streams = 1000;
    double seconds = 3, ramp = 1, hold = 0, limit = 60;
    static const struct option options[] = {
        {"port", 1, 0, 'p'}, {"host", 1, 0, 'h'}, {"path", 1, 0, 'u'}, {"header", 1, 0, 'H'}, {"body", 1, 0, 'b'},
        {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"streams", 1, 0, 'n'}, {"ramp", 1, 0, 'r'}, {"hold", 1, 0, 'o'},
        {"gap", 1, 0, 'g'}, {"tokens", 1, 0, 'k'}, {"limit", 1, 0, 'l'}, {"any-end", 0, 0, 'e'},
        {"counter", 1, 0, 'C'}, {"head-first", 0, 0, 'f'}, {0, 0, 0, 0}};
    headers[0] = 0;
    if (argc < 2) usage();
    if (!strcmp(argv[1], "json")) mode = MODE_JSON;
    else if (!strcmp(argv[1], "stream")) mode = MODE_STREAM;
    else if (!strcmp(argv[1], "paced")) mode = MODE_PACED;
    else usage();
    optind = 2;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'h': host = optarg; break;
        case 'u': path = optarg; break;
        case 'H':
            headers = allocate(headers, strlen(headers) + strlen(optarg) + 3);
            strcat(strcat(headers, optarg), "\r\n");
            break;
        case 'b': body = optarg; break;
        case 'c': connections = strtoul(optarg, NULL, 10); break;
        case 's': seconds = atof(optarg); break;
        case 'n': streams = strtoul(optarg, NULL, 10); break;
        case 'r': ramp = atof(optarg); break;
        case 'o': hold = atof(optarg); break;
        case 'g': gap = atof(optarg); break;
        case 'k': wanted_tokens = strtoul(optarg, NULL, 10); break;
        case 'l': limit = atof(optarg); break;
        case 'e': wants_done = false; break;
        case 'f': head_first = true; break;
        case 'C': counter = strtoull(optarg, NULL, 10); break;
        default: usage();
        }
    }
    if (!port || !connections || !streams) usage();
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    errno = 0;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die(host);
    make_template(path, headers, body);
    if ((poller = epoll_create1(EPOLL_CLOEXEC)) < 0) die("epoll");

    double start = now(), before = cpu_seconds();
    size_t started = mode == MODE_PACED ? run_paced(streams, ramp, hold, limit) : run_closed(connections, seconds);
    double elapsed = now() - start, share = (cpu_seconds() - before) / elapsed;

    sort(&batches);
    printf("{\"seconds\": %.4f, \"client_cpu\": %.4f, \"answers\": %llu, \"failures\": %llu, \"bad_status\": %u, \"bytes\": %llu, "
           "\"batch_ms\": {\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}",
           elapsed, share, answers, failures, first_bad_status, bytes, quantile(&batches, 0.5) * 1e3, quantile(&batches, 0.99) * 1e3,
           quantile(&batches, 1) * 1e3);
    if (mode == MODE_PACED) {
        size_t intervals = interval_errors.count;
        double interval_mean = mean(&interval_errors);
        sort(&firsts);
        sort(&interval_errors);
        sort(&schedule_errors);
        sort(&length_errors);
        printf(", \"started\": %zu, \"tokens\": %zu, \"asked_gap_ms\": %.3f, \"ttft_ms\": {\"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}, "
               "\"interval_ms\": %.4f, \"interval_error_ms\": {\"p50\": %.4f, \"mean\": %.4f, \"p99\": %.4f}, "
               "\"schedule_error_ms\": {\"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}, "
               "\"length_error_percent\": {\"signed\": %.4f, \"mean\": %.4f, \"p99\": %.4f, \"max\": %.4f}",
               started, intervals + firsts.count, gap * 1e3, quantile(&firsts, 0.5) * 1e3, quantile(&firsts, 0.99) * 1e3,
               quantile(&firsts, 1) * 1e3, intervals ? interval_sum / (double)intervals * 1e3 : 0, quantile(&interval_errors, 0.5) * 1e3,
               interval_mean * 1e3, quantile(&interval_errors, 0.99) * 1e3, quantile(&schedule_errors, 0.5) * 1e3,
               quantile(&schedule_errors, 0.99) * 1e3, quantile(&schedule_errors, 1) * 1e3,
               length_errors.count ? length_sum / (double)length_errors.count * 100 : 0, mean(&length_errors) * 100,
               quantile(&length_errors, 0.99) * 100, quantile(&length_errors, 1) * 100);
    } else {
        sort(&latencies);
        printf(", \"per_second\": %.2f, \"latency_ms\": {\"p50\": %.4f, \"p99\": %.4f}", (double)answers / elapsed,
               quantile(&latencies, 0.5) * 1e3, quantile(&latencies, 0.99) * 1e3);
        if (mode == MODE_STREAM)
            printf(", \"tokens_per_stream\": %.2f", sampled_streams ? (double)sampled_tokens / (double)sampled_streams : 0);
    }
    puts("}");
    return 0;
}
