"""Who may run when: slots, queues, fair shares, and running again alone. Makes no sandboxes."""
