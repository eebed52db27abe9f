// The whole image of a chaos test's instances: waits, and ends in order when it is asked to.
#include <signal.h>
#include <unistd.h>

#ifndef RELEASE
#define RELEASE 0
#endif

/** Makes the program of each release another file, and so another image. */
const volatile int release = RELEASE;

static void end(int signal) {
  (void)signal;
  _exit(release * 0);
}

int main(void) {
  signal(SIGTERM, end);
  signal(SIGINT, end);
  for (;;) pause();
}
