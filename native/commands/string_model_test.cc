// Strings against a naive twin: random lines, the same reply, the same encoding and the same
// expiry.
//
// The twin is a std::map of plain strings with its own reading of the rules (it shares no code with
// the commands but the parser of long doubles). Few keys and lengths around the borders of the
// encodings (44 bytes), of the entry (1024) and of shared replies (16 KiB) make histories collide;
// the clock jumps now and then, so that keys expire between commands.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "commands/test_util.h"
#include "test/test.h"

namespace sherd {
namespace {

using test::Bulk;
using test::Error;
using test::Integer;
using test::TestServer;
using Line = std::vector<std::string>;

constexpr const char* kOk = "+OK\r\n";
constexpr const char* kNil = "$-1\r\n";
const std::string kNotInteger = Error("ERR value is not an integer or out of range");
const std::string kOverflow = Error("ERR increment or decrement would overflow");

struct Value {
  std::string bytes;
  std::string encoding;
  int64_t expiry_ms = -1;
};

bool IsInteger(const std::string& text, int64_t* value) {
  char* end;
  errno = 0;
  *value = std::strtoll(text.c_str(), &end, 10);
  return errno == 0 && std::to_string(*value) == text;
}

std::string EncodingOf(const std::string& bytes) {
  int64_t ignored;
  return IsInteger(bytes, &ignored) ? "int" : bytes.size() <= 44 ? "embstr" : "raw";
}

// ---- The twin ----

class StringModel {
 public:
  int64_t now_ms = 0;
  std::map<std::string, Value> values;

  std::string Run(const Line& line);
  Value* Find(const std::string& key) {
    const auto found = values.find(key);
    if (found == values.end()) return nullptr;
    if (found->second.expiry_ms == -1 || found->second.expiry_ms >= now_ms) return &found->second;
    values.erase(found);
    return nullptr;
  }

 private:
  void Store(const std::string& key, const std::string& bytes, int64_t expiry_ms = -1) {
    values[key] = {bytes, EncodingOf(bytes), expiry_ms};
  }
  static std::string Reply(const Value* value) {
    return value == nullptr ? std::string(kNil) : Bulk(value->bytes);
  }
  std::string Set(const Line& line);
  std::string GetEx(const Line& line);
  std::string SetAll(const Line& line);
  std::string Change(const Line& line);
  std::string Add(const std::string& key, int64_t delta);
  std::string AddFloat(const Line& line);
  std::string Part(const Line& line);
  static bool Has(const Line& line, const char* word) {
    for (size_t i = 2; i < line.size(); i++) {
      if (line[i] == word) return true;
    }
    return false;
  }
  // The moment that an EX, PX, EXAT or PXAT of the line means, -1 without one.
  int64_t MomentOf(const Line& line) const {
    for (size_t i = 2; i + 1 < line.size(); i++) {
      const int64_t time = std::atoll(line[i + 1].c_str());
      if (line[i] == "EX") return now_ms + time * 1000;
      if (line[i] == "PX") return now_ms + time;
      if (line[i] == "EXAT") return time * 1000;
      if (line[i] == "PXAT") return time;
    }
    return -1;
  }
};

std::string StringModel::Set(const Line& line) {
  const Value* old = Find(line[1]);
  const std::string was = Reply(old);
  const bool is_get = Has(line, "GET");
  if ((Has(line, "NX") && old != nullptr) || (Has(line, "XX") && old == nullptr)) {
    return is_get ? was : kNil;
  }
  const int64_t kept = Has(line, "KEEPTTL") && old != nullptr ? old->expiry_ms : -1;
  const int64_t moment = MomentOf(line);
  Store(line[1], line[2], moment != -1 ? moment : kept);
  return is_get ? was : kOk;
}

std::string StringModel::GetEx(const Line& line) {
  Value* value = Find(line[1]);
  const std::string was = Reply(value);
  const int64_t moment = MomentOf(line);
  if (value != nullptr && Has(line, "PERSIST")) value->expiry_ms = -1;
  if (value != nullptr && moment != -1) value->expiry_ms = moment;
  if (value != nullptr && moment != -1 && moment <= now_ms) values.erase(line[1]);
  return was;
}

std::string StringModel::SetAll(const Line& line) {
  for (size_t i = 1; line[0] == "MSETNX" && i < line.size(); i += 2) {
    if (Find(line[i]) != nullptr) return Integer(0);
  }
  for (size_t i = 1; i < line.size(); i += 2) Store(line[i], line[i + 1]);
  return line[0] == "MSETNX" ? Integer(1) : kOk;
}

// APPEND and SETRANGE.
std::string StringModel::Change(const Line& line) {
  Value* value = Find(line[1]);
  if (line[0] == "APPEND") {
    if (value == nullptr) {
      Store(line[1], line[2]);
      return Integer(static_cast<int64_t>(line[2].size()));
    }
    value->bytes += line[2];
  } else {
    const size_t offset = static_cast<size_t>(std::atoll(line[2].c_str()));
    if (line[3].empty())
      return Integer(value == nullptr ? 0 : static_cast<int64_t>(value->bytes.size()));
    if (value == nullptr) value = &values[line[1]];
    if (value->bytes.size() < offset + line[3].size()) value->bytes.resize(offset + line[3].size());
    value->bytes.replace(offset, line[3].size(), line[3]);
  }
  value->encoding = "raw";
  return Integer(static_cast<int64_t>(value->bytes.size()));
}

std::string StringModel::Add(const std::string& key, int64_t delta) {
  const Value* old = Find(key);
  int64_t number = 0;
  if (old != nullptr && !IsInteger(old->bytes, &number)) return kNotInteger;
  const __int128 sum = static_cast<__int128>(number) + delta;
  if (sum > INT64_MAX || sum < INT64_MIN) return kOverflow;
  Store(key, std::to_string(static_cast<int64_t>(sum)), old != nullptr ? old->expiry_ms : -1);
  return Integer(static_cast<int64_t>(sum));
}

std::string StringModel::AddFloat(const Line& line) {
  const Value* old = Find(line[1]);
  long double number = 0;
  long double delta = 0;
  if ((old != nullptr && !ParseLongDouble(old->bytes, &number)) ||
      !ParseLongDouble(line[2], &delta)) {
    return Error("ERR value is not a valid float");
  }
  char text[6000];
  std::string bytes(
      text, static_cast<size_t>(std::snprintf(text, sizeof text, "%.17Lf", number + delta)));
  while (bytes.back() == '0') bytes.pop_back();
  if (bytes.back() == '.') bytes.pop_back();
  if (bytes == "-0") bytes = "0";
  Store(line[1], bytes, old != nullptr ? old->expiry_ms : -1);
  values[line[1]].encoding = bytes.size() <= 44 ? "embstr" : "raw";
  return Bulk(bytes);
}

std::string StringModel::Part(const Line& line) {
  const Value* value = Find(line[1]);
  const std::string bytes = value == nullptr ? "" : value->bytes;
  const int64_t size = static_cast<int64_t>(bytes.size());
  int64_t start = std::atoll(line[2].c_str());
  int64_t end = std::atoll(line[3].c_str());
  if (start < 0 && end < 0 && start > end) return Bulk("");
  if (start < 0) start = std::max<int64_t>(0, start + size);
  if (end < 0) end = std::max<int64_t>(0, end + size);
  std::string part;
  for (int64_t i = start; i <= end && i < size; i++) part += bytes[static_cast<size_t>(i)];
  return Bulk(part);
}

std::string StringModel::Run(const Line& line) {
  const std::string& name = line[0];
  const std::string& key = line[1];
  if (name == "SET") return Set(line);
  if (name == "GET") return Reply(Find(key));
  if (name == "GETEX") return GetEx(line);
  if (name == "MSET" || name == "MSETNX") return SetAll(line);
  if (name == "APPEND" || name == "SETRANGE") return Change(line);
  if (name == "INCR" || name == "DECR") return Add(key, name == "INCR" ? 1 : -1);
  if (name == "INCRBY") return Add(key, std::atoll(line[2].c_str()));
  if (name == "DECRBY") return Add(key, -std::atoll(line[2].c_str()));
  if (name == "INCRBYFLOAT") return AddFloat(line);
  if (name == "GETRANGE" || name == "SUBSTR") return Part(line);
  if (name == "SETNX") return SetAll({"MSETNX", key, line[2]});
  if (name == "SETEX") return Set({"SET", key, line[3], "EX", line[2]});
  if (name == "PSETEX") return Set({"SET", key, line[3], "PX", line[2]});
  if (name == "STRLEN") {
    const Value* value = Find(key);
    return Integer(value == nullptr ? 0 : static_cast<int64_t>(value->bytes.size()));
  }
  if (name == "GETSET" || name == "GETDEL") {
    const std::string was = Reply(Find(key));
    values.erase(key);
    if (name == "GETSET") Store(key, line[2]);
    return was;
  }
  CHECK(name == "MGET");
  std::string reply = "*" + std::to_string(line.size() - 1) + "\r\n";
  for (size_t i = 1; i < line.size(); i++) reply += Reply(Find(line[i]));
  return reply;
}

// ---- Random lines ----

class LineMaker {
 public:
  LineMaker(Random* random, int64_t now_ms) : random_(random), now_ms_(now_ms) {}

  Line Make() {
    static constexpr const char* kNames[] = {
        "SET",    "SET",         "SET",    "GET",     "GETEX",    "GETEX", "GETDEL",
        "GETSET", "SETNX",       "SETEX",  "PSETEX",  "MGET",     "MSET",  "MSETNX",
        "APPEND", "APPEND",      "STRLEN", "SUBSTR",  "GETRANGE", "INCR",  "DECR",
        "INCRBY", "INCRBYFLOAT", "DECRBY", "SETRANGE"};
    const std::string name = kNames[random_->Below(std::size(kNames))];
    Line line = {name, Key()};
    AddArguments(name, &line);
    return line;
  }

 private:
  std::string Key() { return "key:" + std::to_string(random_->Below(20)); }
  std::string Number() {
    switch (random_->Below(4)) {
      case 0:
        return std::to_string(random_->Between(INT64_MIN + 1, INT64_MAX));
      case 1:
        return std::to_string(INT64_MAX - random_->Between(0, 2));
      default:
        return std::to_string(random_->Between(-20, 20));
    }
  }
  std::string Bytes() {
    static constexpr size_t kSizes[] = {0,   1,    7,    43,   44,   45,     200,    255,
                                        256, 1000, 1024, 1025, 5000, 16'383, 16'384, 40'000};
    if (random_->OneIn(3)) return Number();
    if (random_->OneIn(10)) return std::to_string(random_->Between(-1000, 1000)) + ".25";
    // The long ones are rarer, so that a run stays short.
    const size_t limit = random_->OneIn(8) ? std::size(kSizes) : 9;
    const size_t size = kSizes[random_->Below(limit)];
    return std::string(size, static_cast<char>('a' + random_->Below(26)));
  }
  void AddMoment(Line* line) {
    const int64_t ms = random_->Between(1, 400);
    switch (random_->Below(4)) {
      case 0:
        line->insert(line->end(), {"EX", std::to_string(1)});
        break;
      case 1:
        line->insert(line->end(), {"PX", std::to_string(ms)});
        break;
      case 2:
        line->insert(line->end(), {"EXAT", std::to_string(now_ms_ / 1000 + ms % 2)});
        break;
      default:
        line->insert(line->end(), {"PXAT", std::to_string(now_ms_ - 100 + ms)});
        break;
    }
  }
  void AddSetOptions(Line* line) {
    if (random_->OneIn(4)) line->push_back(random_->OneIn(2) ? "NX" : "XX");
    if (random_->OneIn(4)) line->push_back("GET");
    if (random_->OneIn(3)) return AddMoment(line);
    if (random_->OneIn(3)) line->push_back("KEEPTTL");
  }
  void AddArguments(const std::string& name, Line* line) {
    if (name == "SET" || name == "GETSET" || name == "SETNX" || name == "APPEND") {
      line->push_back(Bytes());
      if (name == "SET") AddSetOptions(line);
    } else if (name == "GETEX") {
      if (random_->OneIn(4)) return line->push_back("PERSIST");
      if (random_->OneIn(2)) AddMoment(line);
    } else if (name == "SETEX" || name == "PSETEX") {
      line->insert(line->end(), {std::to_string(random_->Between(1, 300)), Bytes()});
    } else if (name == "MGET") {
      for (uint64_t i = random_->Below(5); i > 0; i--) line->push_back(Key());
    } else if (name == "MSET" || name == "MSETNX") {
      line->push_back(Bytes());
      for (uint64_t i = random_->Below(5); i > 0; i--) line->insert(line->end(), {Key(), Bytes()});
    } else if (name == "SUBSTR" || name == "GETRANGE") {
      for (int i = 0; i < 2; i++) line->push_back(std::to_string(random_->Between(-2000, 40'000)));
    } else if (name == "INCRBY" || name == "DECRBY") {
      line->push_back(Number());
    } else if (name == "INCRBYFLOAT") {
      line->push_back(std::to_string(random_->Between(-8, 8)) + ".5");
    } else if (name == "SETRANGE") {
      line->insert(line->end(), {std::to_string(random_->Below(2000)), Bytes()});
    }
  }

  Random* random_;
  int64_t now_ms_;
};

std::string Shown(const Line& line) {
  std::string text;
  for (const std::string& word : line) text.append(word.substr(0, 60)).append(" ");
  return text;
}

void CompareWithModel(int shards, uint64_t seed, int steps) {
  TestServer server(shards);
  StringModel model;
  Random random(seed);
  for (int step = 0; step < steps; step++) {
    if (random.OneIn(20)) server.AdvanceMs(random.Between(1, 200));
    model.now_ms = server.now_ms();
    const Line line = LineMaker(&random, model.now_ms).Make();
    const std::string expected = model.Run(line);
    const std::vector<std::string_view> words(line.begin(), line.end());
    const std::string reply = server.RunLine(words);
    if (reply != expected) {
      test::ReportFailure(__FILE__, __LINE__,
                          "step " + std::to_string(step) + " " + Shown(line) + ": expected " +
                              test::Quoted(expected) + ", got " + test::Quoted(reply));
      return;
    }
    const Value* value = model.Find(line[1]);
    if (value == nullptr) continue;
    EXPECT_MSG(server.encoding(line[1]) == value->encoding, Shown(line) + server.encoding(line[1]));
    EXPECT_MSG(server.expiry_ms(line[1]) == value->expiry_ms, Shown(line));
    if (step % 2000 == 0) server.Validate();
  }
  server.Validate();
}

TEST(strings_behave_like_a_map) {
  CompareWithModel(1, test::Seed(), 15'000);
  CompareWithModel(8, test::Seed() + 1, 15'000);
}

}  // namespace
}  // namespace sherd
