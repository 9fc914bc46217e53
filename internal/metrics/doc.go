// Package metrics counts what happens in a bundle, and writes it in the text format of Prometheus.
//
// Guarantees:
//
//  1. Observe never blocks for longer than it takes to count.
//  2. What can be determined when somebody asks is not counted beforehand: a bundle that nobody scrapes does no work for it.
//  3. Every metric has # HELP and # TYPE, and its name follows the conventions of Prometheus (promtool check metrics).
//  4. The number of series is bounded by the daemons, the signals and the sinks. No label has a value of the environment.
//
// The format is so simple that a client library, which would add several megabytes, is not worth it: see page.
package metrics
