#include "lowbit/text/unigram.h"

#include <algorithm>
#include <limits>

#include "lowbit/base/error.h"
#include "lowbit/text/utf8.h"

namespace lowbit {

Unigram::Unigram(Vocabulary vocabulary, std::vector<double> scores, std::vector<bool> usable,
                 UnigramOptions options)
    : vocabulary_(std::move(vocabulary)),
      scores_(std::move(scores)),
      usable_(std::move(usable)),
      options_(options),
      node_piece_(1, -1) {
  const auto size = static_cast<size_t>(vocabulary_.size());
  if (scores_.size() != size || usable_.size() != size) {
    Fail("unigram model: {} pieces but {} scores and {} kinds", size, scores_.size(), usable_.size());
  }
  double smallest = std::numeric_limits<double>::infinity();
  for (int32_t id = 0; id < vocabulary_.size(); ++id) {
    const auto index = static_cast<size_t>(id);
    if (!(scores_[index] == scores_[index])) Fail("unigram model: the score of piece {} is not a number", id);
    const std::string_view piece = vocabulary_.piece(id);
    if (!usable_[index] || piece.empty()) continue;
    smallest = std::min(smallest, scores_[index]);
    uint64_t node = 0;
    for (const char c : piece) {
      const uint64_t key = (node << 8) | static_cast<uint8_t>(c);
      uint64_t next = trie_.Get(key);
      if (next == FlatMap::kAbsent) {
        next = node_piece_.size();
        node_piece_.push_back(-1);
        trie_.Set(key, next);
      }
      node = next;
    }
    if (node_piece_[node] < 0) node_piece_[node] = id;
  }
  unknown_score_ = (smallest == std::numeric_limits<double>::infinity() ? 0 : smallest) - 10;
  if (!options_.byte_fallback) return;
  for (int byte = 0; byte < 256; ++byte)
    bytes_.push_back(vocabulary_.Find(BytePiece(static_cast<uint8_t>(byte))));
}

void Unigram::Encode(std::string_view word, WordCache& cache, std::vector<int32_t>& out) const {
  if (word.empty()) return;
  if (word.size() > 64) return Viterbi(word, out);
  if (const auto it = cache.words.find(word); it != cache.words.end()) {
    const auto first = cache.ids.begin() + it->second.begin;
    out.insert(out.end(), first, first + it->second.size);
    return;
  }
  const size_t before = out.size();
  Viterbi(word, out);
  const WordCache::Range range{static_cast<uint32_t>(cache.ids.size()),
                               static_cast<uint32_t>(out.size() - before)};
  cache.ids.insert(cache.ids.end(), out.begin() + static_cast<ptrdiff_t>(before), out.end());
  cache.words.emplace(word, range);
}

void Unigram::Viterbi(std::string_view word, std::vector<int32_t>& out) const {
  struct Best {
    double score = -std::numeric_limits<double>::infinity();
    size_t begin = 0;
    int32_t id = -1;  // -1: unknown
  };
  std::vector<Best> best(word.size() + 1);
  best[0].score = 0;
  for (size_t at = 0; at < word.size();) {
    const size_t length = NextUtf8(word.substr(at)).length;
    const double base = best[at].score;
    bool single = false;
    uint64_t node = 0;
    for (size_t end = at; end < word.size();) {
      node = trie_.Get((node << 8) | static_cast<uint8_t>(word[end]));
      if (node == FlatMap::kAbsent) break;
      ++end;
      const int32_t id = node_piece_[node];
      if (id < 0) continue;
      const double score = base + scores_[static_cast<size_t>(id)];
      if (best[end].score == -std::numeric_limits<double>::infinity() || score > best[end].score) {
        best[end] = {score, at, id};
      }
      single = single || end - at == length;
    }
    if (!single) {
      const double score = base + unknown_score_;
      Best& next = best[at + length];
      if (next.score == -std::numeric_limits<double>::infinity() || score > next.score)
        next = {score, at, -1};
    }
    at += length;
  }
  struct Piece {
    size_t begin, end;
    int32_t id;
  };
  std::vector<Piece> pieces;  // from the end
  for (size_t end = word.size(); end > 0; end = best[end].begin) {
    if (best[end].id < 0 && !pieces.empty() && pieces.back().id < 0) {
      pieces.back().begin = best[end].begin;
    } else {
      pieces.push_back({best[end].begin, end, best[end].id});
    }
  }
  for (size_t i = pieces.size(); i-- > 0;) {
    const std::string_view part = word.substr(pieces[i].begin, pieces[i].end - pieces[i].begin);
    const bool bytes =
        pieces[i].id < 0 && !bytes_.empty() &&
        std::all_of(part.begin(), part.end(), [&](char c) { return bytes_[static_cast<uint8_t>(c)] >= 0; });
    if (pieces[i].id >= 0) {
      out.push_back(pieces[i].id);
    } else if (bytes) {
      for (const char c : part) out.push_back(bytes_[static_cast<uint8_t>(c)]);
    } else if (options_.unknown >= 0) {
      out.push_back(options_.unknown);
    }
  }
}

}  // namespace lowbit
