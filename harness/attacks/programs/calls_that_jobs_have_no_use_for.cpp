// calls that jobs have no use for
// ends: ok
// prints: refused

#include "probe.h"

int main() {
    struct {
        const char *name;
        long number;
    } all[] = {{"keyctl", SYS_keyctl},
               {"add_key", SYS_add_key},
               {"request_key", SYS_request_key},
               {"bpf", SYS_bpf},
               {"perf_event_open", SYS_perf_event_open},
               {"userfaultfd", SYS_userfaultfd},
               {"io_uring_setup", 425},
               {"io_uring_enter", 426},
               {"kexec_load", SYS_kexec_load},
               {"init_module", SYS_init_module},
               {"finit_module", SYS_finit_module},
               {"delete_module", SYS_delete_module},
               {"swapon", SYS_swapon},
               {"reboot", SYS_reboot},
               {"acct", SYS_acct},
               {"iopl", SYS_iopl},
               {"ioperm", SYS_ioperm},
               {"settimeofday", SYS_settimeofday},
               {"sethostname", SYS_sethostname},
               {"vhangup", SYS_vhangup},
               {"open_by_handle_at", SYS_open_by_handle_at},
               {"fanotify_init", SYS_fanotify_init},
               {"lookup_dcookie", SYS_lookup_dcookie}};
    for (auto &each : all) probe_call(each.name, each.number, 3, 3, 3, 3, 3);
    puts("refused");
}
