// What the server needs of onnxruntime's C library, which is opened at run time: sessions, and one call that scores.
#ifndef SERVE_ORT_H
#define SERVE_ORT_H

#include <stdint.h>

enum { FLOAT32, FLOAT64, INT64, TEXT, N_KINDS };

typedef struct ort_session ort_session;

// The matrices of a request, row by row; NULL where a bundle has no column of a kind. `texts` are `n * width` strings.
typedef struct {
  int64_t n, width[N_KINDS];
  float *float32;
  double *float64;
  int64_t *int64;
  const char **texts;
  void *values[N_KINDS];
} ort_request;

// All give NULL, or a message that is to be freed.
char *ort_open(const char *library);
const char *ort_version(void);
char *ort_load(const char *file, const int *kinds, const char **reads, int n_reads, ort_session **made);
char *ort_values(ort_request *request);
char *ort_run(ort_session *session, ort_request *request, double **reads, double *scores);
void ort_forget(ort_request *request);
void ort_close(ort_session *session);

#endif
