/* From reset to main: vectors, data, and the standard streams by semihosting. */

#include <stdint.h>
#include <stdlib.h>

extern uint32_t data_stored[], data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];
extern void initialise_monitor_handles(void);
extern int main(void);

void reset(void) {
    for (uint32_t *from = data_stored, *to = data_begin; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
    initialise_monitor_handles();
    exit(main());
}

static void fault(void) { _Exit(3); }

__attribute__((section(".vectors"), used)) static void *const vectors[] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};

void _init(void) {}
void _fini(void) {}
