// Asks a node program whether it is ready, as a probe of the kubelet: over a unix socket of its own pod, as
// two pods of one node have the same ports while one takes over from the other.
#pragma once

// The exit code: 0 if it is ready; else 1, with its own words, or what is wrong, on standard output.
int probe(const char *path);
