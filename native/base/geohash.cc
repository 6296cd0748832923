// Geohash: see the header.
#include "base/geohash.h"

#include <cmath>

namespace sherd {

namespace {

constexpr double kEarthRadiusMeters = 6372797.560856;
// Half of the equator on the map.
constexpr double kMapHalfMeters = 20037726.37;
constexpr double kRadiansPerDegree = M_PI / 180.0;

double Radians(double degrees) { return degrees * kRadiansPerDegree; }
double Degrees(double radians) { return radians / kRadiansPerDegree; }

// The 32 bits of `value` in the even places of the result.
uint64_t Spread(uint32_t value) {
  uint64_t bits = value;
  bits = (bits | bits << 16) & 0x0000ffff0000ffffull;
  bits = (bits | bits << 8) & 0x00ff00ff00ff00ffull;
  bits = (bits | bits << 4) & 0x0f0f0f0f0f0f0f0full;
  bits = (bits | bits << 2) & 0x3333333333333333ull;
  return (bits | bits << 1) & 0x5555555555555555ull;
}

// The even places of `bits`.
uint32_t Gather(uint64_t bits) {
  bits &= 0x5555555555555555ull;
  bits = (bits | bits >> 1) & 0x3333333333333333ull;
  bits = (bits | bits >> 2) & 0x0f0f0f0f0f0f0f0full;
  bits = (bits | bits >> 4) & 0x00ff00ff00ff00ffull;
  bits = (bits | bits >> 8) & 0x0000ffff0000ffffull;
  return static_cast<uint32_t>(bits | bits >> 16);
}

// A cell by its column (from the west) and row (from the south).
struct Grid {
  uint32_t column;
  uint32_t row;
};
uint64_t Interleave(Grid grid) { return Spread(grid.row) | Spread(grid.column) << 1; }
Grid Deinterleave(uint64_t bits) { return {Gather(bits >> 1), Gather(bits)}; }

// The place in 2^step columns and rows of a map up to these latitudes. The very edge belongs to a column
// or row of its own, one too many: as in Redis, it stays so.
Grid GridOf(GeoPoint point, double latitude_max, int step) {
  const double cells = static_cast<double>(uint64_t{1} << step);
  const double x = (point.longitude + kGeoLongitudeMax) / (2 * kGeoLongitudeMax);
  const double y = (point.latitude + latitude_max) / (2 * latitude_max);
  return {static_cast<uint32_t>(x * cells), static_cast<uint32_t>(y * cells)};
}

struct Area {
  double west, east, south, north;
};

Area AreaOf(uint64_t bits, int step) {
  const double cells = static_cast<double>(uint64_t{1} << step);
  const Grid grid = Deinterleave(bits);
  const auto longitude = [&](double column) {
    return -kGeoLongitudeMax + column / cells * (2 * kGeoLongitudeMax);
  };
  const auto latitude = [&](double row) {
    return -kGeoLatitudeMax + row / cells * (2 * kGeoLatitudeMax);
  };
  return {longitude(grid.column), longitude(grid.column + 1.0), latitude(grid.row),
          latitude(grid.row + 1.0)};
}

double Clamp(double value, double limit) {
  return value > limit ? limit : value < -limit ? -limit : value;
}

// A score as the number that Redis takes it for on x86-64, also where C leaves that open: scores below 0
// and above 2^63.
uint64_t ScoreBits(double score) {
  constexpr double kTwo63 = 9223372036854775808.0;
  constexpr uint64_t kTopBit = uint64_t{1} << 63;
  if (score >= kTwo63) {
    const double rest = score - kTwo63;
    return rest < kTwo63 ? static_cast<uint64_t>(rest) ^ kTopBit : 0;
  }
  return score >= -kTwo63 ? static_cast<uint64_t>(static_cast<int64_t>(score)) : kTopBit;
}

double LatitudeDistance(double a, double b) {
  return kEarthRadiusMeters * std::fabs(Radians(b) - Radians(a));
}

// ---- Searching ----

// The box around the shape, in degrees. It is widest on the side of the equator's far end.
Area BoundsOf(const GeoShape& shape) {
  const double height = shape.meters * (shape.is_box ? shape.height / 2 : shape.radius);
  const double width = shape.meters * (shape.is_box ? shape.width / 2 : shape.radius);
  const GeoPoint center = shape.center;
  const double up = Degrees(height / kEarthRadiusMeters);
  const double farther = center.latitude < 0 ? center.latitude - up : center.latitude + up;
  const double across = Degrees(width / kEarthRadiusMeters / std::cos(Radians(farther)));
  return {center.longitude - across, center.longitude + across, center.latitude - up,
          center.latitude + up};
}

int EstimateStep(double radius_meters, double latitude) {
  if (radius_meters == 0) return kGeoStepMax;
  int step = 1;
  while (radius_meters < kMapHalfMeters) {
    radius_meters *= 2;
    step++;
  }
  step -= 2;  // so that nine cells cover it in most cases
  // Meridians meet at the poles: the same distance takes more of the map there.
  if (std::fabs(latitude) > 66) step--;
  if (std::fabs(latitude) > 80) step--;
  return step < 1 ? 1 : step > kGeoStepMax ? kGeoStepMax : step;
}

enum Place : int {
  kCenter,
  kNorth,
  kSouth,
  kEast,
  kWest,
  kNorthEast,
  kNorthWest,
  kSouthEast,
  kSouthWest,
};

std::array<GeoCell, 9> CellsAround(GeoPoint center, int step) {
  const uint32_t mask = static_cast<uint32_t>((uint64_t{1} << step) - 1);
  const Grid grid = GridOf(center, kGeoLatitudeMax, step);
  // The map goes round in both directions; cells there are found empty when places are measured.
  const uint32_t north = (grid.row + 1) & mask;
  const uint32_t south = (grid.row - 1) & mask;
  const uint32_t east = (grid.column + 1) & mask;
  const uint32_t west = (grid.column - 1) & mask;
  const Grid grids[9] = {
      grid,          {grid.column, north}, {grid.column, south}, {east, grid.row}, {west, grid.row},
      {east, north}, {west, north},        {east, south},        {west, south}};
  std::array<GeoCell, 9> cells;
  for (size_t i = 0; i < cells.size(); i++) cells[i] = {Interleave(grids[i]), step};
  return cells;
}

}  // namespace

bool IsOnMap(GeoPoint point) {
  return point.longitude >= -kGeoLongitudeMax && point.longitude <= kGeoLongitudeMax &&
         point.latitude >= -kGeoLatitudeMax && point.latitude <= kGeoLatitudeMax;
}

uint64_t GeoScore(GeoPoint point) {
  return Interleave(GridOf(point, kGeoLatitudeMax, kGeoStepMax));
}

GeoPoint GeoPointOf(double score) {
  const Area area = AreaOf(ScoreBits(score), kGeoStepMax);
  return {Clamp((area.west + area.east) / 2, kGeoLongitudeMax),
          Clamp((area.south + area.north) / 2, kGeoLatitudeMax)};
}

void FormatGeohash(GeoPoint point, char (&out)[kGeoTextSize]) {
  constexpr char kAlphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
  constexpr double kStandardLatitudeMax = 90;
  const uint64_t bits = Interleave(GridOf(point, kStandardLatitudeMax, kGeoStepMax));
  for (size_t i = 0; i < kGeoTextSize; i++) {
    // 52 bits make ten characters; Redis pads the eleventh with zeros.
    const size_t used = (i + 1) * 5;
    out[i] =
        used > 2 * kGeoStepMax ? kAlphabet[0] : kAlphabet[bits >> (2 * kGeoStepMax - used) & 31];
  }
}

double GeoDistance(GeoPoint a, GeoPoint b) {
  const double v = std::sin((Radians(b.longitude) - Radians(a.longitude)) / 2);
  if (v == 0) return LatitudeDistance(a.latitude, b.latitude);
  const double latitude_a = Radians(a.latitude);
  const double latitude_b = Radians(b.latitude);
  const double u = std::sin((latitude_b - latitude_a) / 2);
  const double h = u * u + std::cos(latitude_a) * std::cos(latitude_b) * v * v;
  return 2.0 * kEarthRadiusMeters * std::asin(std::sqrt(h));
}

bool IsWithin(const GeoShape& shape, GeoPoint point, double* distance) {
  if (!shape.is_box) {
    *distance = GeoDistance(shape.center, point);
    return !(*distance > shape.radius * shape.meters);
  }
  if (LatitudeDistance(point.latitude, shape.center.latitude) > shape.height * shape.meters / 2)
    return false;
  // Across at the place's own latitude.
  const double across = GeoDistance(point, {shape.center.longitude, point.latitude});
  if (across > shape.width * shape.meters / 2) return false;
  *distance = GeoDistance(shape.center, point);
  return true;
}

std::array<GeoCell, 9> GeoSearchCells(const GeoShape& shape) {
  const Area bounds = BoundsOf(shape);
  double radius = shape.radius;
  if (shape.is_box) {
    radius = std::sqrt(shape.width / 2 * (shape.width / 2) + shape.height / 2 * (shape.height / 2));
  }
  int step = EstimateStep(radius * shape.meters, shape.center.latitude);
  std::array<GeoCell, 9> cells = CellsAround(shape.center, step);
  const auto area = [&](Place place) { return AreaOf(cells[place].bits, step); };
  // Near the edge of its cell the centre's neighbours may not reach as far as the shape does.
  const bool falls_short = area(kNorth).north < bounds.north || area(kSouth).south > bounds.south ||
                           area(kEast).east < bounds.east || area(kWest).west > bounds.west;
  if (step > 1 && falls_short) cells = CellsAround(shape.center, --step);
  if (step < 2) return cells;

  const Area middle = area(kCenter);
  const auto drop = [&](Place a, Place b, Place c) { cells[a] = cells[b] = cells[c] = GeoCell(); };
  if (middle.south < bounds.south) drop(kSouth, kSouthWest, kSouthEast);
  if (middle.north > bounds.north) drop(kNorth, kNorthEast, kNorthWest);
  if (middle.west < bounds.west) drop(kWest, kSouthWest, kNorthWest);
  if (middle.east > bounds.east) drop(kEast, kSouthEast, kNorthEast);
  return cells;
}

}  // namespace sherd
