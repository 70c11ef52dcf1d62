#pragma once

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/error.h"
#include "request.h"
#include "timed_backend.h"

// The times of a step's operations, as a table and as a line of JSON.
namespace grok::bench {

inline double quantile(const std::vector<double>& sorted, double share) {
  return sorted[std::size_t(share * double(sorted.size() - 1) + 0.5)];
}

inline double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

inline void print(const std::map<std::string, Timed>& times) {
  const bool has_graphs =
      std::any_of(times.begin(), times.end(), [](const auto& timed) { return timed.second.in_graph.calls > 0; });
  std::printf("  %-14s %6s %11s %11s %11s%s %9s %9s%s\n", "operation", "calls", "us min", "median", "max",
              has_graphs ? "    in graph" : "", "GB/s", "GMAC/s", has_graphs ? "  MB a round" : "");
  for (const auto& [name, timed] : times) {
    std::vector<double> sorted = timed.microseconds;
    std::sort(sorted.begin(), sorted.end());
    double median = quantile(sorted, 0.5);
    const Work work = timed.work_of_one();
    std::printf("  %-14s %6zu %11.1f %11.1f %11.1f", name.c_str(), sorted.size(), sorted.front(), median,
                sorted.back());
    const bool is_in_graph = timed.in_graph.calls > 0;
    if (is_in_graph) {
      median = median_of(timed.in_graph.microseconds);
      std::printf(" %11.2f", median);
    } else if (has_graphs) {
      std::printf(" %11s", "-");
    }
    std::printf(" %9.2f %9.2f", work.bytes / median * 1e-3, work.macs / median * 1e-3);
    if (is_in_graph) std::printf(" %11.1f", timed.in_graph.bytes_a_round * 1e-6);
    std::printf("\n");
  }
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

// device/report.py reads this file.
inline File open_json(const Request& request) {
  File out(std::fopen(request.json.c_str(), "a"), std::fclose);
  if (!out) throw Error(ErrorCode::io, concat("--json: cannot write to ", request.json));
  return out;
}

inline void write_times(std::FILE* out, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  std::fprintf(out, R"("p10": %.2f, "median": %.2f, "p90": %.2f, "mean": %.2f)", quantile(times, 0.1),
               quantile(times, 0.5), quantile(times, 0.9),
               std::reduce(times.begin(), times.end()) / double(times.size()));
}

// Writes one line.
inline void write_json(const Request& request, const std::string& shape, int num_layers, int num_sequences,
                       int num_tokens, int context, const std::map<std::string, Timed>& times) {
  const File out = open_json(request);
  std::fprintf(out.get(),
               R"({"shape": "%s", "layers": %d, "shards": %d, "sequences": %d, "tokens": %d, "context": %d, )"
               R"("cache": "%s", "overlap": %s, "operations": {)",
               shape.c_str(), num_layers, request.num_shards, num_sequences, num_tokens, context,
               name_of(request.kv_cache_type), request.launches_overlap ? "true" : "false");
  const char* separator = "";
  for (const auto& [name, timed] : times) {
    const Work work = timed.work_of_one();
    std::fprintf(out.get(), R"(%s"%s": {"calls": %zu, )", separator, name.c_str(), timed.microseconds.size());
    write_times(out.get(), timed.microseconds);
    std::fprintf(out.get(), R"(, "bytes": %.0f, "macs": %.0f)", work.bytes, work.macs);
    if (timed.in_graph.calls > 0) {
      std::fprintf(out.get(), R"(, "in_graph": {"calls": %d, )", timed.in_graph.calls);
      write_times(out.get(), timed.in_graph.microseconds);
      std::fprintf(out.get(), R"(, "bytes_a_round": %.0f})", timed.in_graph.bytes_a_round);
    }
    std::fprintf(out.get(), "}");
    separator = ", ";
  }
  std::fprintf(out.get(), "}}\n");
}

}  // namespace grok::bench
