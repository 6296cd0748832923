// Inline command lines. See inline_arguments.h.
#include "resp/inline_arguments.h"

#include "base/check.h"
#include "base/strings.h"

namespace sherd::resp {

namespace {

bool EndsToken(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

char Unescape(char c) {
  switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
  }
}

// Appends the quoted bytes that start behind the opening quote at line[*position - 1]; moves
// `*position` behind the closing quote. False when it is missing or something is glued to it.
bool ReadQuoted(std::string_view line, size_t* position, char quote, std::string* out) {
  size_t i = *position;
  for (; i < line.size() && line[i] != quote; i++) {
    if (line[i] != '\\' || i + 1 >= line.size()) {
      out->push_back(line[i]);
      continue;
    }
    if (quote == '\'') {
      if (line[i + 1] == '\'') i++;
      out->push_back(line[i]);
      continue;
    }
    if (line[i + 1] == 'x' && i + 3 < line.size()) {
      const int high = HexDigitValue(line[i + 2]);
      const int low = HexDigitValue(line[i + 3]);
      if (high >= 0 && low >= 0) {
        out->push_back(static_cast<char>(high * 16 + low));
        i += 3;
        continue;
      }
    }
    i++;
    out->push_back(Unescape(line[i]));
  }
  if (i >= line.size()) return false;
  *position = i + 1;
  return *position == line.size() || IsAsciiSpace(line[*position]);
}

// Reads a token that has a quote somewhere. Same contract as ReadQuoted, from the token's first
// byte. After a closing quote the token is over: what follows is white space.
bool ReadTokenWithQuotes(std::string_view line, size_t* position, std::string* out) {
  for (size_t i = *position; i < line.size() && !EndsToken(line[i]); i++) {
    if (line[i] == '"' || line[i] == '\'') {
      *position = i + 1;
      return ReadQuoted(line, position, line[i], out);
    }
    out->push_back(line[i]);
  }
  CHECK_MSG(false, "called for a token without a quote");
  return false;
}

}  // namespace

bool SplitInlineArguments(std::string_view line, std::vector<std::string_view>* args,
                          std::string* storage) {
  args->clear();
  storage->clear();
  size_t position = 0;
  while (true) {
    while (position < line.size() && IsAsciiSpace(line[position])) position++;
    if (position == line.size()) return true;
    size_t end = position;
    while (end < line.size() && !EndsToken(line[end]) && line[end] != '"' && line[end] != '\'')
      end++;
    if (end == line.size() || EndsToken(line[end])) {
      args->push_back(line.substr(position, end - position));
      position = end;
      continue;
    }
    // No token grows by being unquoted, so storage never moves under the views taken before.
    storage->reserve(line.size());
    const size_t start = storage->size();
    if (!ReadTokenWithQuotes(line, &position, storage)) return false;
    args->push_back(std::string_view(*storage).substr(start));
  }
}

}  // namespace sherd::resp
