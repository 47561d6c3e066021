/* A driver for tests where there is none: what pynvml asks of libnvidia-ml.so.1, answered from the environment.
   FAKE_GPUS=free/total,… in MiB, in NVML's order; FAKE_BUS=7,3,… are their places on the bus, else in that order; FAKE_CUDA=12040;
   FAKE_NVML_ERROR=18 lets its start fail; FAKE_PID is a process on each device. Meters, each unsupported where its variable is not set:
   FAKE_USE=gpu/memory in %, FAKE_TEMPERATURE, FAKE_POWER=now/limit in mW, FAKE_CLOCKS=sm/memory/most in MHz, FAKE_SLOWED=bits, which a
   driver with FAKE_OLD knows under its old name alone. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

static const char *nth(const char *list, int number) {
    while (list && number-- > 0) { list = strchr(list, ','); if (list) list++; }
    return list;
}
static unsigned long long sizes(int number, int which) {
    const char *at = nth(getenv("FAKE_GPUS"), number);
    unsigned long long free = 0, total = 0;
    if (at) sscanf(at, "%llu/%llu", &free, &total);
    return (which ? total : free) << 20;
}
static int say(char *to, unsigned length, const char *text) { snprintf(to, length, "%s", text); return 0; }

int nvmlInitWithFlags(unsigned flags) { const char *error = getenv("FAKE_NVML_ERROR"); return error ? atoi(error) : 0; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
const char *nvmlErrorString(int code) { return code == 18 ? "Driver/library version mismatch" : "Unknown Error"; }
int nvmlSystemGetDriverVersion(char *to, unsigned length) { return say(to, length, "550.54.15"); }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { const char *said = getenv("FAKE_CUDA"); *to = said ? atoi(said) : 12040; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    const char *at = getenv("FAKE_GPUS");
    *count = at && *at ? 1 : 0;
    for (; at && *at; at++) *count += *at == ',';
    return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned number, void **handle) { *handle = (void *)(size_t)(number + 1); return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) { *handle = (void *)(size_t)1; return 0; }
int nvmlDeviceGetUUID(void *handle, char *to, unsigned length) {
    snprintf(to, length, "GPU-%zu0000000-aaaa", (size_t)handle - 1);
    return 0;
}
struct pci { char legacy[16]; unsigned domain, bus, device, ids, subsystem; char id[32]; };
int nvmlDeviceGetPciInfo_v3(void *handle, struct pci *to) {
    int number = (int)(size_t)handle - 1;
    const char *at = nth(getenv("FAKE_BUS"), number);
    memset(to, 0, sizeof *to);
    to->bus = at ? (unsigned)atoi(at) : (unsigned)number;
    return 0;
}
int nvmlDeviceGetName(void *handle, char *to, unsigned length) { return say(to, length, "NVIDIA Test 9000"); }
int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *to) {
    int number = (int)(size_t)handle - 1;
    to[0] = sizes(number, 1); to[1] = sizes(number, 0); to[2] = to[0] - to[1];
    return 0;
}
struct process { unsigned pid; unsigned long long memory; unsigned instance, compute; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, struct process *to) {
    const char *pid = getenv("FAKE_PID");
    if (!pid) { *count = 0; return 0; }
    if (*count < 1) { *count = 1; return 7; }
    *count = 1;
    to[0].pid = (unsigned)atoi(pid); to[0].memory = 3ull << 30;
    return 0;
}
static int figure(const char *name, int which, unsigned *to) {
    const char *at = getenv(name);
    while (at && which-- > 0) { at = strchr(at, '/'); if (at) at++; }
    if (!at || !*at || *at == '/') return 3;
    *to = (unsigned)strtoul(at, 0, 0);
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *to) {
    int gpu = figure("FAKE_USE", 0, to);
    return gpu ? gpu : figure("FAKE_USE", 1, to + 1);
}
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *to) { return figure("FAKE_TEMPERATURE", 0, to); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *to) { return figure("FAKE_POWER", 0, to); }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *to) { return figure("FAKE_POWER", 1, to); }
int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *to) { return figure("FAKE_CLOCKS", kind == 2, to); }
int nvmlDeviceGetMaxClockInfo(void *handle, int kind, unsigned *to) { return figure("FAKE_CLOCKS", 2, to); }
static int slowed(unsigned long long *to) {
    unsigned bits = 0;
    int missing = figure("FAKE_SLOWED", 0, &bits);
    *to = bits;
    return missing;
}
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *to) { return getenv("FAKE_OLD") ? 13 : slowed(to); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *to) { return slowed(to); }
