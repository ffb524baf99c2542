#include "lowbit/text/bpe.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <queue>

#include "lowbit/base/error.h"
#include "lowbit/text/utf8.h"

namespace lowbit {
namespace {

constexpr size_t kSmallPoints = 0x400;
constexpr size_t kCachedWordBytes = 64;
constexpr size_t kCachedWords = 1 << 17;

uint64_t Pack(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

uint64_t HashPair(char32_t left, char32_t right) {
  const uint64_t key = (static_cast<uint64_t>(left) << 32) | right;
  return (key * 0x9E3779B97F4A7C15u) >> 24;
}

}  // namespace

Bpe::Bpe(Vocabulary vocabulary, std::vector<Merge> merges, BpeOptions options)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      merges_(std::move(merges)),
      ranks_(merges_.size()) {
  const std::string& prefix = options_.continuing_prefix;
  std::string joined;
  for (size_t rank = 0; rank < merges_.size(); ++rank) {
    const auto [left, right] = merges_[rank];
    const std::string_view a = vocabulary_.piece(left), b = vocabulary_.piece(right);
    if (a.empty() || b.empty()) Fail("BPE merge {}: no piece has the id {}", rank, a.empty() ? left : right);
    joined = a;
    joined += b.starts_with(prefix) ? b.substr(prefix.size()) : b;
    const int32_t id = vocabulary_.Find(joined);
    if (id < 0)
      Fail("BPE merge {}: '{}' + '{}' gives '{}', which is not in the vocabulary", rank, a, b, joined);
    ranks_.Set(Pack(left, right), (static_cast<uint64_t>(rank) << 32) | static_cast<uint32_t>(id));
  }
  LearnCharacters();
  LearnBoundaries();
}

Bpe::Bpe(Vocabulary vocabulary, std::vector<float> scores, std::vector<bool> mergeable, BpeOptions options)
    : vocabulary_(std::move(vocabulary)),
      options_(std::move(options)),
      scored_(true),
      scores_(std::move(scores)),
      mergeable_(std::move(mergeable)) {
  const auto size = static_cast<size_t>(vocabulary_.size());
  if (scores_.size() != size || mergeable_.size() != size) {
    Fail("BPE: {} pieces but {} scores and {} kinds", size, scores_.size(), mergeable_.size());
  }
  for (float& score : scores_) {
    if (!(score == score)) score = -1e30f;  // a NaN cannot be ordered
  }
  std::vector<int32_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  const auto score = [&](int32_t id) { return scores_[static_cast<size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return score(a) > score(b); });
  priority_.resize(size);
  uint32_t rank = 0;
  for (size_t i = 0; i < size; ++i) {
    if (i > 0 && score(order[i]) != score(order[i - 1])) ++rank;
    priority_[static_cast<size_t>(order[i])] = rank;
  }
  LearnCharacters();
  LearnBoundaries();
}

void Bpe::LearnCharacters() {
  small_.resize(kSmallPoints);
  for (char32_t point = 0; point < kSmallPoints; ++point) {
    std::string text;
    AppendUtf8(text, point);
    const int32_t id = vocabulary_.Find(text);
    const bool usable = id >= 0 && (!scored_ || mergeable_[static_cast<size_t>(id)]);
    small_[point] = usable ? id : -1;
  }
  if (!options_.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte)
    bytes_.push_back(vocabulary_.Find(BytePiece(static_cast<uint8_t>(byte))));
}

void Bpe::LearnBoundaries() {
  cuttable_ = options_.continuing_prefix.empty() && options_.end_suffix.empty();
  if (!cuttable_) return;
  size_t characters = 0;
  for (int32_t id = 0; id < vocabulary_.size(); ++id) characters += vocabulary_.piece(id).size();
  pairs_.assign(std::bit_ceil(characters / 4 + 64), 0);
  if (scored_) {
    for (int32_t id = 0; id < vocabulary_.size(); ++id) {
      if (mergeable_[static_cast<size_t>(id)]) AddPairsInside(vocabulary_.piece(id));
    }
    return;
  }
  for (const auto& [left, right] : merges_) {
    AddPairsInside(std::string(vocabulary_.piece(left)) + std::string(vocabulary_.piece(right)));
  }
}

void Bpe::AddPairsInside(std::string_view piece) {
  char32_t previous = 0;
  for (size_t at = 0; at < piece.size();) {
    const Utf8Step step = NextUtf8(piece.substr(at));
    if (at > 0) {
      const uint64_t bit = HashPair(previous, step.point) & (64 * pairs_.size() - 1);
      pairs_[bit / 64] |= uint64_t{1} << (bit % 64);
    }
    previous = step.point;
    at += step.length;
  }
}

bool Bpe::MayMergeAcross(char32_t left, char32_t right) const {
  const uint64_t bit = HashPair(left, right) & (64 * pairs_.size() - 1);
  return (pairs_[bit / 64] >> (bit % 64)) & 1;
}

int32_t Bpe::FindCharacter(std::string_view character, char32_t point) const {
  if (point < kSmallPoints) return small_[point];
  const int32_t id = vocabulary_.Find(character);
  return id >= 0 && (!scored_ || mergeable_[static_cast<size_t>(id)]) ? id : -1;
}

void Bpe::Encode(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const {
  if (word.empty()) return;
  if (word.size() > UINT32_MAX / 2) Fail("BPE: a word of {} bytes; at most 2 GB", word.size());
  if (options_.ignore_merges) {
    const int32_t id = vocabulary_.Find(word);
    if (id >= 0) {
      out.push_back(id);
      return;
    }
  }
  if (!cuttable_ || word.size() <= 8) return EncodePart(word, cache, out);
  size_t begin = 0;
  bool known = false;  // runs of unknown characters stay together: they may fuse
  char32_t previous = 0;
  for (size_t at = 0; at < word.size();) {
    const Utf8Step step = NextUtf8(word.substr(at));
    // Only a character known to be a piece can be cut off from its neighbours.
    const bool is_known = FindCharacter(word.substr(at, step.length), step.point) >= 0;
    if (at > 0 && known && is_known && !MayMergeAcross(previous, step.point)) {
      EncodePart(word.substr(begin, at - begin), cache, out);
      begin = at;
    }
    known = is_known;
    previous = step.point;
    at += step.length;
  }
  EncodePart(word.substr(begin), cache, out);
}

void Bpe::EncodePart(std::string_view part, WordCache& cache, std::vector<int32_t>& out) const {
  if (part.size() > kCachedWordBytes) return MergeAll(part, out);
  if (const auto it = cache.words.find(part); it != cache.words.end()) {
    const auto first = cache.ids.begin() + it->second.begin;
    out.insert(out.end(), first, first + it->second.size);
    return;
  }
  const size_t before = out.size();
  MergeAll(part, out);
  if (cache.words.size() >= kCachedWords) return;
  const WordCache::Range range{static_cast<uint32_t>(cache.ids.size()),
                               static_cast<uint32_t>(out.size() - before)};
  cache.ids.insert(cache.ids.end(), out.begin() + static_cast<ptrdiff_t>(before), out.end());
  cache.words.emplace(part, range);
}

std::vector<Bpe::Symbol> Bpe::Characters(std::string_view text) const {
  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  const auto add = [&](int32_t id, size_t begin, size_t length) {
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back(
        {id, index - 1, index + 1, static_cast<uint32_t>(begin), static_cast<uint32_t>(length)});
  };
  size_t unknown_begin = 0, unknown_size = 0;
  const auto flush_unknown = [&] {
    if (unknown_size > 0) add(options_.unknown, unknown_begin, unknown_size);
    unknown_size = 0;
  };
  std::string decorated;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = NextUtf8(text.substr(at));
    const std::string_view character = text.substr(at, step.length);
    const bool last = at + step.length == text.size();
    int32_t id;
    if (!cuttable_) {
      decorated = at > 0 ? options_.continuing_prefix : std::string();
      decorated += character;
      if (last) decorated += options_.end_suffix;
      id = vocabulary_.Find(decorated);
    } else {
      id = FindCharacter(character, step.point);
    }
    if (id >= 0 || scored_) {  // scored: text that is no piece may still become part of one
      flush_unknown();
      add(id, at, step.length);
    } else if (!bytes_.empty() && std::all_of(character.begin(), character.end(),
                                              [&](char c) { return bytes_[static_cast<uint8_t>(c)] >= 0; })) {
      // An unknown run before the bytes is still pending, as in the reference implementation.
      for (size_t i = 0; i < character.size(); ++i)
        add(bytes_[static_cast<uint8_t>(character[i])], at + i, 1);
    } else if (options_.unknown >= 0) {
      if (unknown_size > 0 && !options_.fuse_unknown) flush_unknown();
      if (unknown_size == 0) unknown_begin = at;
      unknown_size = at + step.length - unknown_begin;
    }
    at += step.length;
  }
  flush_unknown();
  if (!symbols.empty()) symbols.back().next = -1;
  return symbols;
}

Bpe::Candidate Bpe::Find(std::string_view text, const Symbol& left, const Symbol& right) const {
  if (!scored_) {
    const uint64_t hit = ranks_.Get(Pack(left.id, right.id));
    if (hit == FlatMap::kAbsent) return {};
    return {static_cast<uint32_t>(hit >> 32), static_cast<int32_t>(hit & 0xFFFFFFFF)};
  }
  const int32_t id = vocabulary_.Find(text.substr(left.begin, left.length + right.length));
  if (id < 0 || !mergeable_[static_cast<size_t>(id)]) return {};
  return {priority_[static_cast<size_t>(id)], id};
}

void Bpe::MergeAll(std::string_view text, std::vector<int32_t>& out) const {
  std::vector<Symbol> symbols = Characters(text);
  struct Entry {
    uint32_t priority;
    int32_t left, id;
    uint32_t length;
    bool operator<(const Entry& other) const {  // std::priority_queue wants the best last
      return priority != other.priority ? priority > other.priority : left > other.left;
    }
  };
  std::vector<Entry> storage;
  storage.reserve(symbols.size());
  std::priority_queue<Entry, std::vector<Entry>> queue(std::less<Entry>(), std::move(storage));
  const auto offer = [&](int32_t left) {
    if (left < 0) return;
    const Symbol& a = symbols[static_cast<size_t>(left)];
    if (a.next < 0) return;
    const Symbol& b = symbols[static_cast<size_t>(a.next)];
    const Candidate found = Find(text, a, b);
    if (found.id >= 0) queue.push({found.priority, left, found.id, a.length + b.length});
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) offer(static_cast<int32_t>(i));
  while (!queue.empty()) {
    const Entry best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<size_t>(best.left)];
    if (left.length == 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    // Symbols only grow, so an unchanged sum of lengths means that both are those of the entry.
    if (left.length + right.length != best.length) continue;
    left.id = best.id;
    left.length = best.length;
    left.next = right.next;
    right.length = 0;
    if (right.next >= 0) symbols[static_cast<size_t>(right.next)].previous = best.left;
    offer(left.previous);
    offer(best.left);
  }
  if (scored_) return EmitScored(text, symbols, out);
  for (int32_t at = symbols.empty() ? -1 : 0; at >= 0; at = symbols[static_cast<size_t>(at)].next) {
    out.push_back(symbols[static_cast<size_t>(at)].id);
  }
}

void Bpe::EmitScored(std::string_view text, const std::vector<Symbol>& symbols,
                     std::vector<int32_t>& out) const {
  bool after_unknown = false;
  for (int32_t at = symbols.empty() ? -1 : 0; at >= 0; at = symbols[static_cast<size_t>(at)].next) {
    const Symbol& symbol = symbols[static_cast<size_t>(at)];
    const std::string_view part = text.substr(symbol.begin, symbol.length);
    const bool bytes = symbol.id < 0 && !bytes_.empty() && std::all_of(part.begin(), part.end(), [&](char c) {
                         return bytes_[static_cast<uint8_t>(c)] >= 0;
                       });
    if (symbol.id >= 0) {
      out.push_back(symbol.id);
    } else if (bytes) {
      for (const char c : part) out.push_back(bytes_[static_cast<uint8_t>(c)]);
    } else if (options_.unknown >= 0 && !(after_unknown && options_.fuse_unknown)) {
      out.push_back(options_.unknown);
    }
    after_unknown = symbol.id < 0 && !bytes;
  }
}

}  // namespace lowbit
