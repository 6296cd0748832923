// Version: who we say we are.
//
// Clients ask for the Redis version to decide which commands they may use, so that one says which
// Redis we behave as; our own version is for people.
#pragma once

#include <string_view>

namespace sherd {

/// The Redis whose behaviour we follow, as HELLO and INFO report it.
inline constexpr std::string_view kRedisVersion = "7.2.0";
/// Our own version; the same as in package.json.
inline constexpr std::string_view kSherdVersion = "0.1.0";

}  // namespace sherd
