// What `lowbit limits` measured on one source, for people; from its JSON (docs/json.md), which `lowbit
// report` reads as well.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lowbit/report/html.h"

namespace lowbit::cli {

// Throws Error, naming `where`, unless `source` is an entry of "sources".
void CheckDistortions(const nlohmann::json& source, const std::string& where);

// How many values there are and how they are distributed.
std::string AboutSource(const nlohmann::json& source);
// Why formats lie below the bound; empty when none does.
std::string BelowTheBound(const nlohmann::json& source);
// A row for each of these entries of "formats".
report::Table DistortionTable(const std::vector<nlohmann::json>& formats);

// A heading, the chart, the advice and the table of one source.
void AddDistortions(const nlohmann::json& source, report::HtmlReport& page);

}  // namespace lowbit::cli
