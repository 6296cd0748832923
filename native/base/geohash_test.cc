// Geohashes: known places, the way there and back, cells that cover every shape, edges of the map.
#include "base/geohash.h"

#include <cmath>
#include <string>

#include "base/random.h"
#include "test/test.h"

namespace sherd {
namespace {

std::string TextOf(GeoPoint point) {
  char text[kGeoTextSize];
  FormatGeohash(point, text);
  return {text, sizeof text};
}

GeoPoint RandomPoint(Random& random) {
  return {random.Unit() * 360 - 180, (random.Unit() * 2 - 1) * kGeoLatitudeMax};
}

bool IsCovered(const GeoShape& shape, double score) {
  for (const GeoCell& cell : GeoSearchCells(shape)) {
    if (!cell.is_none() && score >= cell.first_score() && score < cell.last_score()) return true;
  }
  return false;
}

}  // namespace

TEST(geohash_knows_the_places_of_redis_documentation) {
  // Palermo and Catania, as the documentation of GEOADD, GEOHASH and GEODIST has them.
  const GeoPoint palermo = {13.361389, 38.115556};
  const GeoPoint catania = {15.087269, 37.502669};
  EXPECT_EQ(GeoScore(palermo), 3479099956230698u);
  EXPECT_EQ(GeoScore(catania), 3479447370796909u);
  EXPECT_EQ(TextOf(GeoPointOf(3479099956230698.0)), std::string("sqc8b49rny0"));
  EXPECT_EQ(TextOf(GeoPointOf(3479447370796909.0)), std::string("sqdtr74hyu0"));
  const double distance =
      GeoDistance(GeoPointOf(3479099956230698.0), GeoPointOf(3479447370796909.0));
  EXPECT_TRUE(std::fabs(distance - 166274.1516) < 0.0001);
}

TEST(geohash_gives_back_what_it_was_given) {
  Random random(test::Seed());
  for (int i = 0; i < 10'000; i++) {
    const GeoPoint point = RandomPoint(random);
    const GeoPoint back = GeoPointOf(static_cast<double>(GeoScore(point)));
    EXPECT_TRUE(std::fabs(back.longitude - point.longitude) <= 360.0 / (1 << 26));
    EXPECT_TRUE(std::fabs(back.latitude - point.latitude) <= 171.0 / (1 << 26));
  }
}

TEST(geohash_takes_any_score_for_a_place_on_the_map) {
  const double scores[] = {0.0,
                           -1,
                           -0.5,
                           1e308,
                           -1e308,
                           INFINITY,
                           -INFINITY,
                           9223372036854775808.0,
                           18446744073709551616.0,
                           4503599627370496.0};
  for (const double score : scores) EXPECT_TRUE(IsOnMap(GeoPointOf(score)));
  EXPECT_TRUE(IsOnMap({180, kGeoLatitudeMax}) && IsOnMap({-180, -kGeoLatitudeMax}));
  EXPECT_TRUE(!IsOnMap({180.0001, 0}) && !IsOnMap({0, 86}) && !IsOnMap({NAN, 0}));
  // The edge is a column and a row of its own.
  EXPECT_EQ(GeoScore({180, kGeoLatitudeMax}), uint64_t{3} << 52);
}

TEST(geohash_cells_cover_what_is_within) {
  // Between 66 and 85 degrees and across the seam Redis's cells miss some places; here it must be exact.
  Random random(test::Seed());
  size_t within = 0;
  for (int i = 0; i < 20'000; i++) {
    GeoShape shape;
    shape.center = {random.Unit() * 300 - 150, random.Unit() * 120 - 60};
    shape.is_box = random.OneIn(2);
    shape.meters = random.OneIn(2) ? 1 : 1000;
    const double size = std::pow(10, random.Unit() * 5.5) / shape.meters;
    shape.radius = size;
    shape.width = size * (0.2 + random.Unit());
    shape.height = size * (0.2 + random.Unit());
    const double reach = 3 * size * shape.meters / 111'000;
    const GeoPoint point = {shape.center.longitude + (random.Unit() - 0.5) * reach,
                            shape.center.latitude + (random.Unit() - 0.5) * reach};
    double distance;
    if (!IsOnMap(point) || !IsWithin(shape, point, &distance)) continue;
    within++;
    EXPECT_TRUE(IsCovered(shape, static_cast<double>(GeoScore(point))));
  }
  EXPECT_TRUE(within > 1000);
}

TEST(geohash_of_a_small_circle_searches_few_cells) {
  GeoShape shape;
  shape.center = {13.361389, 38.115556};
  shape.radius = 100;
  double scores = 0;
  for (const GeoCell& cell : GeoSearchCells(shape)) {
    if (!cell.is_none()) scores += cell.last_score() - cell.first_score();
  }
  // At most nine cells of 611 m: 2^-16 of either side of the map.
  EXPECT_TRUE(scores > 0 && scores <= 9 * std::pow(2, 52 - 2 * 15));
}

}  // namespace sherd
