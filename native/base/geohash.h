// Places on the globe as sorted-set scores: a geohash of 52 bits, and the cells that cover a search.
//
// A place's longitude and latitude are each cut into 2^26 steps, and the two numbers are interleaved bit
// by bit, longitude first:
//
//   bit  51 50 49 48 …  1  0       the first 2n bits name a cell of the n-th division of the world:
//        lo la lo la … lo la       all places in it have scores in one contiguous range
//
// 52 bits fit a double exactly. Longitudes run from -180 to 180, latitudes from -85.05112878 to
// 85.05112878 (Web Mercator's square, EPSG:900913).
//
// SEARCHING. For a circle or a box, the coarsest division whose cells are still about as large as it is
// found; its centre's cell and the eight around it then cover it. Cells that the bounding box does not
// touch are left out. Each of the nine is a range of scores; what is found there is measured exactly.
// Nearby bits may be far apart on the globe: at the seams of the map cells have neighbours on the other
// side (longitude goes round).
//
// Which cells are searched, and in which order, decides the order of unsorted replies and what COUNT
// with ANY finds, so step by step we decide as Redis does.
//
// Literature: Morton 1966; Niemeyer's geohash (2008); haversine formula on a sphere of 6372797.560856 m.
// Any thread; nothing here allocates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sherd {

inline constexpr double kGeoLongitudeMax = 180;
inline constexpr double kGeoLatitudeMax = 85.05112878;
/// Steps of each coordinate in a score.
inline constexpr int kGeoStepMax = 26;
/// Characters of the standard geohash text.
inline constexpr size_t kGeoTextSize = 11;

struct GeoPoint {
  double longitude = 0;
  double latitude = 0;
};

/// Whether a place can be stored.
bool IsOnMap(GeoPoint point);
/// The score of a place on the map.
uint64_t GeoScore(GeoPoint point);
/// The place that a score stands for: the middle of its smallest cell. Any score is taken, also one that
/// was never a place.
GeoPoint GeoPointOf(double score);
/// Writes the standard geohash (eleven characters, latitudes from -90 to 90) of a place.
void FormatGeohash(GeoPoint point, char (&out)[kGeoTextSize]);
/// Metres along the great circle.
double GeoDistance(GeoPoint a, GeoPoint b);

/// What a search asks for. Lengths are in a unit of `meters` metres.
struct GeoShape {
  GeoPoint center;
  double meters = 1;
  bool is_box = false;
  double radius = 0;  // of a circle
  double width = 0;   // of a box
  double height = 0;
};

/// Whether a place lies in the shape; stores its distance from the centre in metres if so.
bool IsWithin(const GeoShape& shape, GeoPoint point, double* distance);

/// A cell of some division; none: step is 0.
struct GeoCell {
  uint64_t bits = 0;
  int step = 0;
  bool is_none() const { return step == 0; }
  bool operator==(const GeoCell&) const = default;
  /// Scores of the places in it: first <= score < last.
  double first_score() const { return Aligned(bits); }
  double last_score() const { return Aligned(bits + 1); }

 private:
  double Aligned(uint64_t value) const {
    return static_cast<double>(value << (2 * kGeoStepMax - 2 * step));
  }
};

/// The cells to search, in order: the centre's, north, south, east, west, north-east, north-west,
/// south-east, south-west. Some may be none, some the same as others.
std::array<GeoCell, 9> GeoSearchCells(const GeoShape& shape);

}  // namespace sherd
