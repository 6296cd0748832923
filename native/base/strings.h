// Small ASCII helpers: Redis's command words and options are compared without regard to case, and
// only A–Z fold. The C library's tolower() depends on the locale, which belongs to the host
// process.
//
// Any thread; nothing allocates except where a std::string is returned.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sherd {

inline constexpr char AsciiLower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
inline constexpr char AsciiUpper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
}

/// Space, \t, \n, \v, \f, \r: isspace() of the C locale.
inline constexpr bool IsAsciiSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Value of a hexadecimal digit, or -1.
inline constexpr int HexDigitValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = AsciiLower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Equal up to the case of A–Z.
inline constexpr bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); i++) {
    if (a[i] != b[i] && AsciiLower(a[i]) != AsciiLower(b[i])) return false;
  }
  return true;
}

inline constexpr bool StartsWithIgnoreCase(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() && EqualsIgnoreCase(text.substr(0, prefix.size()), prefix);
}

/// The text as a C string: Redis prints arguments into errors so, and they end at the first zero byte.
inline constexpr std::string_view UpToZero(std::string_view text) { return text.substr(0, text.find('\0')); }

inline std::string ToAsciiLower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = AsciiLower(c);
  return result;
}

inline std::string ToAsciiUpper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = AsciiUpper(c);
  return result;
}

}  // namespace sherd
