// onnxruntime's C interface is a table of functions that only ever grows: a function is found by its place, so no header
// is needed. Places are those of `struct OrtApi` in onnxruntime_c_api.h, all of them there since version 1.
#include "ort.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  GET_ERROR_MESSAGE = 2,
  CREATE_ENV = 3,
  CREATE_SESSION = 7,
  RUN = 9,
  CREATE_SESSION_OPTIONS = 10,
  SET_INTRA_OP_THREADS = 24,
  SET_INTER_OP_THREADS = 25,
  CREATE_TENSOR = 48,
  CREATE_TENSOR_WITH_DATA = 49,
  GET_TENSOR_DATA = 51,
  FILL_STRING_TENSOR = 52,
  GET_ELEMENT_TYPE = 60,
  GET_ELEMENT_COUNT = 64,
  GET_TYPE_AND_SHAPE = 65,
  CREATE_CPU_MEMORY_INFO = 69,
  ALLOCATOR = 78,
  RELEASE_STATUS = 93,
  RELEASE_SESSION = 95,
  RELEASE_VALUE = 96,
  RELEASE_TYPE_AND_SHAPE = 99,
  RELEASE_SESSION_OPTIONS = 100,
};
enum { API_VERSION = 16, LOG_ERRORS = 3, ARENA = 1, DEFAULT_MEMORY = 0, DOUBLE = 11 };

typedef void status;  // of OrtStatus; NULL = it went well
typedef void (*function)(void);
typedef struct {
  const void *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} api_base;

struct ort_session {
  void *session;
  int kinds[N_KINDS], n_reads;
  char **reads;
};

static const function *api;
static const api_base *base;
static void *environment, *memory, *allocator;
static const int element_types[N_KINDS] = {1, DOUBLE, 7, 8};
static const char *names[N_KINDS] = {"float32", "float64", "int64", "text"};

#define CALL(place, ...) ((status * (*)()) api[place])(__VA_ARGS__)
#define RELEASE(place, thing) ((void (*)(void *))api[place])(thing)

static char *message(const char *text) {
  char *copy = malloc(strlen(text) + 1);
  if (copy != NULL) strcpy(copy, text);
  return copy;
}

// Turn a status into a message, NULL if there is none.
static char *failed(status *found) {
  if (found == NULL) return NULL;
  char *text = message(((const char *(*)(const status *))api[GET_ERROR_MESSAGE])(found));
  RELEASE(RELEASE_STATUS, found);
  return text;
}

char *ort_open(const char *library) {
  void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (opened == NULL) return message(dlerror());
  const api_base *(*get)(void) = (const api_base *(*)(void))dlsym(opened, "OrtGetApiBase");
  if (get == NULL) return message("it is not onnxruntime: it has no OrtGetApiBase");
  base = get();
  api = (const function *)base->get_api(API_VERSION);
  if (api == NULL) return message("this onnxruntime is too old");
  char *error = failed(CALL(CREATE_ENV, LOG_ERRORS, "serve", &environment));
  if (error == NULL) error = failed(CALL(CREATE_CPU_MEMORY_INFO, ARENA, DEFAULT_MEMORY, &memory));
  if (error == NULL) error = failed(CALL(ALLOCATOR, &allocator));
  return error;
}

const char *ort_version(void) { return base->get_version(); }

char *ort_load(const char *file, const int *kinds, const char **reads, int n_reads, ort_session **made) {
  void *options = NULL, *session = NULL;
  char *error = failed(CALL(CREATE_SESSION_OPTIONS, &options));
  if (error == NULL) error = failed(CALL(SET_INTRA_OP_THREADS, options, 1));
  if (error == NULL) error = failed(CALL(SET_INTER_OP_THREADS, options, 1));
  if (error == NULL) error = failed(CALL(CREATE_SESSION, environment, file, options, &session));
  if (options != NULL) RELEASE(RELEASE_SESSION_OPTIONS, options);
  if (error != NULL) return error;
  ort_session *s = calloc(1, sizeof *s);
  s->session = session;
  s->n_reads = n_reads;
  memcpy(s->kinds, kinds, sizeof s->kinds);
  s->reads = calloc(n_reads + 1, sizeof *s->reads);
  for (int i = 0; i < n_reads; i++) s->reads[i] = message(reads[i]);
  *made = s;
  return NULL;
}

void ort_close(ort_session *s) {
  RELEASE(RELEASE_SESSION, s->session);
  for (int i = 0; i < s->n_reads; i++) free(s->reads[i]);
  free(s->reads);
  free(s);
}

static char *tensor(void *data, int64_t rows, int64_t width, int type, size_t size, void **value) {
  int64_t shape[2] = {rows, width};
  int n_dims = width < 0 ? 1 : 2;
  size_t bytes = (size_t)rows * (width < 0 ? 1 : width) * size;
  return failed(CALL(CREATE_TENSOR_WITH_DATA, memory, data, bytes, shape, (size_t)n_dims, type, value));
}

char *ort_values(ort_request *r) {
  void *data[N_KINDS] = {r->float32, r->float64, r->int64, (void *)r->texts};
  size_t sizes[N_KINDS] = {sizeof(float), sizeof(double), sizeof(int64_t), 0};
  char *error = NULL;
  for (int k = 0; k < N_KINDS && error == NULL; k++) {
    if (data[k] == NULL) continue;
    if (k != TEXT) {
      error = tensor(data[k], r->n, r->width[k], element_types[k], sizes[k], &r->values[k]);
      continue;
    }
    int64_t shape[2] = {r->n, r->width[k]};
    error = failed(CALL(CREATE_TENSOR, allocator, shape, (size_t)2, element_types[k], &r->values[k]));
    if (error == NULL)
      error = failed(CALL(FILL_STRING_TENSOR, r->values[k], r->texts, (size_t)(r->n * r->width[k])));
  }
  return error;
}

void ort_forget(ort_request *r) {
  for (int k = 0; k < N_KINDS; k++)
    if (r->values[k] != NULL) RELEASE(RELEASE_VALUE, r->values[k]);
  memset(r->values, 0, sizeof r->values);
}

// Copy the result into `scores`, if it is n numbers of Float64.
static char *copied(void *result, int64_t n, double *scores) {
  void *shape = NULL, *data = NULL;
  int type = 0;
  size_t count = 0;
  char *error = failed(CALL(GET_TYPE_AND_SHAPE, result, &shape));
  if (error == NULL) error = failed(CALL(GET_ELEMENT_TYPE, shape, &type));
  if (error == NULL) error = failed(CALL(GET_ELEMENT_COUNT, shape, &count));
  if (shape != NULL) RELEASE(RELEASE_TYPE_AND_SHAPE, shape);
  if (error == NULL && (type != DOUBLE || count != (size_t)n)) error = message("the graph gives no score for each pair");
  if (error == NULL) error = failed(CALL(GET_TENSOR_DATA, result, &data));
  if (error == NULL) memcpy(scores, data, count * sizeof *scores);
  return error;
}

char *ort_run(ort_session *s, ort_request *r, double **reads, double *scores) {
  int n = 0;
  const char *input_names[s->n_reads + N_KINDS];
  void *inputs[s->n_reads + N_KINDS], *given[s->n_reads + 1], *result = NULL;
  char *error = NULL;
  memset(given, 0, sizeof given);
  for (int k = 0; k < N_KINDS; k++)
    if (s->kinds[k]) {
      if (r->values[k] == NULL) return message("the bundle's manifest does not give this graph all of its matrices");
      input_names[n] = names[k];
      inputs[n++] = r->values[k];
    }
  for (int i = 0; i < s->n_reads && error == NULL; i++) {
    error = tensor(reads[i], r->n, -1, DOUBLE, sizeof(double), &given[i]);
    input_names[n] = s->reads[i];
    inputs[n++] = given[i];
  }
  const char *output_names[1] = {"score"};
  if (error == NULL)
    error = failed(CALL(RUN, s->session, NULL, input_names, inputs, (size_t)n, output_names, (size_t)1, &result));
  if (error == NULL) error = copied(result, r->n, scores);
  if (result != NULL) RELEASE(RELEASE_VALUE, result);
  for (int i = 0; i < s->n_reads; i++)
    if (given[i] != NULL) RELEASE(RELEASE_VALUE, given[i]);
  return error;
}
