"""All workloads, in the order of the report."""

from benchmarks.workloads import contending, draining, idling, importing, storing, waking

WORKLOADS = {
    workload.name: workload
    for room in (storing, draining, waking, contending, idling, importing)
    for workload in room.WORKLOADS
}
