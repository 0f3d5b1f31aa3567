package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
	"github.com/charmed-go/charms/reactive"
)

// settings are the charm's options; see charmcraft.yaml.
type settings struct {
	CheckICMP      bool    `json:"check_icmp"`
	CheckTCP       bool    `json:"check_tcp"`
	CheckUDP       bool    `json:"check_udp"`
	CheckMTU       bool    `json:"check_mtu"`
	CheckDNS       bool    `json:"check_dns"`
	CheckIperf     bool    `json:"check_iperf"`
	CheckHostname  bool    `json:"check_local_hostname"`
	CheckBonds     string  `json:"check_bonds"`
	LACPPassive    bool    `json:"lacp_passive_mode"`
	PingTries      int     `json:"ping_tries"`
	PingInterval   float64 `json:"ping_interval"`
	PingTimeout    float64 `json:"ping_timeout"`
	MaxLoss        float64 `json:"max_loss"`
	RequiredMTU    int     `json:"required_mtu"`
	MinSpeed       string  `json:"min_speed"`
	IperfDuration  float64 `json:"iperf_duration"`
	IperfStreams   int     `json:"iperf_streams"`
	DNSServer      string  `json:"dns_server"`
	DNSTries       int     `json:"dns_tries"`
	DNSTime        float64 `json:"dns_time"`
	CheckTimeout   float64 `json:"check_timeout"`
	TotalTimeout   float64 `json:"total_timeout"`
	Network        string  `json:"network"`
	Port           int     `json:"port"`
	MetricsPort    int     `json:"metrics_port"`
	Allowed        string  `json:"allowed_networks"`
	ServiceManager string  `json:"service_manager"`

	network netip.Prefix   // invalid if there is none
	allowed []netip.Prefix // none is all
	speed   speed
}

func readSettings(ctx context.Context, h *reactive.Hook) (settings, error) {
	config, err := h.Config(ctx)
	if err != nil {
		return settings{}, err
	}
	return newSettings(config)
}

// newSettings reads and checks options. An error names the option.
func newSettings(config map[string]any) (settings, error) {
	var s settings
	text, err := json.Marshal(config)
	if err != nil {
		return s, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("cannot read the configuration: %w", err)
	}
	bad := func(option string, value any, want string) (settings, error) {
		return s, fmt.Errorf("option %s: %v is not %s", option, value, want)
	}
	for option, v := range map[string]float64{
		"ping_interval": s.PingInterval, "iperf_duration": s.IperfDuration, "dns_time": s.DNSTime,
		"check_timeout": s.CheckTimeout, "total_timeout": s.TotalTimeout, "ping_timeout": s.PingTimeout,
	} {
		if v <= 0 || v > 3600 {
			return bad(option, v, "a number of seconds above 0")
		}
	}
	switch {
	case s.PingTries < 1 || s.PingTries > 10000:
		return bad("ping_tries", s.PingTries, "between 1 and 10000")
	case s.DNSTries < 1 || s.DNSTries > 100:
		return bad("dns_tries", s.DNSTries, "between 1 and 100")
	case s.MaxLoss < 0 || s.MaxLoss > 100:
		return bad("max_loss", s.MaxLoss, "a percentage")
	case s.RequiredMTU != 0 && (s.RequiredMTU < 576 || s.RequiredMTU > 65535):
		return bad("required_mtu", s.RequiredMTU, "0 or between 576 and 65535")
	case s.IperfDuration > 20:
		return bad("iperf_duration", s.IperfDuration, "a number of seconds up to 20")
	case !slices.Contains([]string{"auto", "systemd", "process"}, s.ServiceManager):
		return bad("service_manager", strconv.Quote(s.ServiceManager), "auto, systemd or process")
	case s.IperfStreams < 0 || s.IperfStreams > 16:
		return bad("iperf_streams", s.IperfStreams, "between 0 and 16")
	case s.Port < 1 || s.Port > 65535:
		return bad("port", s.Port, "a port")
	case s.MetricsPort < 0 || s.MetricsPort > 65535 || s.MetricsPort == s.Port:
		return bad("metrics_port", s.MetricsPort, "another port, or 0")
	}
	if s.Network != "" {
		if s.network, err = magpie.ParseNetwork(s.Network); err != nil {
			return s, fmt.Errorf("option network: %w", err)
		}
	}
	for _, text := range list(s.Allowed) {
		p, err := magpie.ParseNetwork(text)
		if err != nil {
			return s, fmt.Errorf("option allowed_networks: %w", err)
		}
		s.allowed = append(s.allowed, p)
	}
	if s.speed, err = parseSpeed(s.MinSpeed); err != nil {
		return s, fmt.Errorf("option min_speed: %w", err)
	}
	return s, nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// list splits a list that is separated by commas or spaces.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// suite returns the checks that are configured. What a check takes if all is well
// does not count for its timeout.
func (s settings) suite() netcheck.Suite {
	var suite netcheck.Suite
	budget := seconds(s.CheckTimeout)
	pinging := budget + seconds(float64(s.PingTries)*s.PingInterval+s.PingTimeout)
	loss := s.MaxLoss / 100
	if s.CheckICMP {
		suite.ICMP = &netcheck.ICMP{Count: s.PingTries, Interval: seconds(s.PingInterval), Wait: seconds(s.PingTimeout), MaxLoss: loss, Budget: pinging}
	}
	if s.CheckTCP {
		suite.TCP = &netcheck.TCP{Budget: budget}
	}
	if s.CheckUDP {
		suite.UDP = &netcheck.UDP{Count: s.PingTries, Interval: seconds(s.PingInterval), Wait: seconds(s.PingTimeout), MaxLoss: loss, Budget: pinging}
	}
	if s.CheckMTU {
		suite.MTU = &netcheck.MTU{Required: s.RequiredMTU, Budget: budget}
	}
	if s.CheckDNS {
		suite.DNS = &netcheck.DNS{Servers: list(s.DNSServer), Tries: s.DNSTries, Timeout: seconds(s.DNSTime), Budget: budget}
	}
	if s.CheckIperf {
		suite.Throughput = &netcheck.Throughput{
			Streams: s.IperfStreams, Duration: seconds(s.IperfDuration), Minimum: s.speed.bits, MinimumShare: s.speed.share,
			Budget: budget + seconds(s.IperfDuration),
		}
	}
	if s.CheckHostname {
		suite.Hostname = &netcheck.Hostname{Budget: budget}
	}
	switch s.CheckBonds {
	case "":
	case "AUTO":
		suite.Bonds = &netcheck.Bonds{Passive: s.LACPPassive}
	default:
		suite.Bonds = &netcheck.Bonds{Names: list(s.CheckBonds), Passive: s.LACPPassive}
	}
	return suite
}

// A speed is a throughput: a number of bit/s, or a share of the speed of a
// network interface.
type speed struct {
	bits, share float64
}

// parseSpeed reads a number of Mbit/s, or a percentage.
func parseSpeed(text string) (speed, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return speed{}, fmt.Errorf("%q is neither a number of Mbit/s nor a percentage", text)
	}
	if percent {
		return speed{share: v / 100}, nil
	}
	return speed{bits: v * 1e6}, nil
}
