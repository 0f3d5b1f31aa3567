package prometheusmanual

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads a duration as Prometheus writes it, such as 1h30m or
// 500ms. A month is not a unit; a year has 365 days.
func parseDuration(text string) (time.Duration, bool) {
	if text == "0" {
		return 0, true
	}
	units := []struct {
		name   string
		length time.Duration
	}{
		{"y", 365 * 24 * time.Hour}, {"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour},
		{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
	}
	var sum time.Duration
	rest, next := text, 0
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, false
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, "ywdhms"))
		unit := rest[:letters]
		rest = rest[letters:]
		// Units come in this order, each at most once.
		for next < len(units) && units[next].name != unit {
			next++
		}
		if next == len(units) || n > int64((math.MaxInt64-sum)/units[next].length) {
			return 0, false
		}
		sum += time.Duration(n) * units[next].length
		next++
	}
	return sum, text != ""
}

// formatDuration writes d as Prometheus reads it, in whole milliseconds.
func formatDuration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}

// parseSize reads a number of bytes such as 10MB or 1.5GiB. Prometheus counts
// in powers of two either way.
func parseSize(text string) (bytes int64, ok bool) {
	number := strings.TrimRight(text, "KMGTPEiB")
	unit := strings.TrimSuffix(strings.TrimSuffix(text[len(number):], "B"), "i")
	if text == number || !strings.HasSuffix(text, "B") || len(unit) > 1 {
		return 0, text == "0"
	}
	if strings.Trim(number, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, false
	}
	power := strings.Index("KMGTPE", unit) + 1
	if unit == "" {
		power = 0
	}
	n *= math.Pow(1024, float64(power))
	if n >= math.MaxInt64 {
		return 0, false
	}
	return int64(n), true
}
