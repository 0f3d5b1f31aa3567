package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/miekg/dns"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck/netchecktest"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// TestMain lets the test binary also be what runs inside the namespaces, and
// the responder. A test binary that is started as anything else must not run
// the tests: one of them starts it.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "responder" {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := respond(ctx, os.Args[2]); err != nil {
			fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
			os.Exit(1)
		}
		return
	}
	var err error
	switch os.Getenv("MAGPIE_TEST_ROLE") {
	case "":
		os.Exit(m.Run())
	case "dns":
		err = serveNames()
	case "get":
		err = get(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveNames is a DNS server that knows three hosts, until its standard input
// ends.
func serveNames() error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		for i := 1; i <= 3; i++ {
			host, addr := fmt.Sprintf("host%d.example.", i), fmt.Sprintf("10.77.0.%d", i)
			arpa, _ := dns.ReverseAddr(addr)
			for _, text := range []string{arpa + " 60 IN PTR " + host, host + " 60 IN A " + addr} {
				rr, err := dns.NewRR(text)
				if err == nil && rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		_ = w.WriteMsg(m)
	})
	conn, err := net.ListenPacket("udp", "10.77.0.4:53")
	if err != nil {
		return err
	}
	server := &dns.Server{PacketConn: conn, Handler: handler, NotifyStartedFunc: func() { fmt.Println("ready") }}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Shutdown()
	}()
	return server.ActivateAndServe()
}

// get prints what an URL has.
func get(url string) error {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// startDNS runs the DNS server on the fourth host.
func startDNS(t *testing.T, network *netchecktest.Network) (stop func()) {
	t.Helper()
	cmd := network.Hosts[3].Command(context.Background(), os.Args[0])
	cmd.Env = append(os.Environ(), "MAGPIE_TEST_ROLE=dns")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the DNS server said %q, %v", line, err)
	}
	return stop
}

// buildCharm makes a charm directory whose dispatch runs the compiled charm of
// unit N in the namespace of host N.
func buildCharm(t *testing.T, network *netchecktest.Network) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "magpie"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the charm: %v: %s", err, out)
	}
	ip, err := exec.LookPath("ip")
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := os.ReadFile("charmcraft.yaml")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncase \"$JUJU_UNIT_NAME\" in\n"
	for i, h := range network.Hosts[:3] {
		script += fmt.Sprintf("magpie/%d) ns=%s;;\n", i, h.Namespace)
	}
	script += fmt.Sprintf("esac\nexec %s netns exec \"$ns\" \"$JUJU_CHARM_DIR/magpie\" \"$@\"\n", ip)
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{"charmcraft.yaml": {string(metadata), 0o644}, "dispatch": {script, 0o755}} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// prometheusCharm accepts every scrape job and does nothing.
func prometheusCharm() jujusim.Charm {
	metadata := "name: prometheus\nsummary: s\ndescription: d\nrequires:\n  manual-jobs: {interface: prometheus-manual}\n"
	newCharm := func() *reactive.Charm {
		c := reactive.New("prometheus")
		prometheusmanual.NewRequirer(c, "manual-jobs")
		return c
	}
	return jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(metadata)}},
		Run:   func(ctx context.Context, p hooktool.Process) int { return reactive.Run(ctx, newCharm, p) },
	}
}

// field is a model with three units of magpie in namespaces of their own.
type field struct {
	*jujusim.Model
	network *netchecktest.Network
}

// settle runs all hooks there are, of different units at the same time.
func (f field) settle(t *testing.T) {
	t.Helper()
	for {
		var running []*jujusim.Running
		for h, ok := f.Next(); ok; h, ok = f.Next() {
			r, err := f.Start(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			running = append(running, r)
		}
		if len(running) == 0 {
			break
		}
		for _, r := range running {
			if _, err := r.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// recheck lets all units check the network again.
func (f field) recheck(t *testing.T) {
	t.Helper()
	if err := f.UpdateStatus(); err != nil {
		t.Fatal(err)
	}
	f.settle(t)
}

// want is what the status of a unit has to be.
type want struct {
	workload string
	has      []string
	hasNot   []string
}

func fine() want {
	return want{"active", []string{"icmp ok, tcp ok, udp ok, mtu ok, dns ok", "Mbit/s"}, nil}
}

// of wants the status to say words, and to name these peers and no others.
func of(peers string, words ...string) want {
	w := want{"blocked", words, nil}
	for i := range 3 {
		name := fmt.Sprintf("magpie/%d", i)
		if strings.Contains(peers, name) {
			w.has = append(w.has, name)
		} else {
			w.hasNot = append(w.hasNot, name)
		}
	}
	return w
}

func (f field) expect(t *testing.T, wants ...want) {
	t.Helper()
	status := f.Status()
	for i, w := range wants {
		name := fmt.Sprintf("magpie/%d", i)
		u, ok := status.Unit(name)
		if !ok {
			t.Errorf("there is no %s", name)
			continue
		}
		t.Logf("%s is %s: %s", name, u.Workload, u.Message)
		if u.Workload != w.workload {
			t.Errorf("%s is %s, want %s", name, u.Workload, w.workload)
		}
		for _, s := range w.has {
			if !strings.Contains(u.Message, s) {
				t.Errorf("the status of %s does not say %q: %s", name, s, u.Message)
			}
		}
		for _, s := range w.hasNot {
			if strings.Contains(u.Message, s) {
				t.Errorf("the status of %s says %q: %s", name, s, u.Message)
			}
		}
	}
}

// TestThreeUnits is the story of a network: three units of the compiled charm in
// three network namespaces find nothing wrong; then one thing after the other
// breaks, is named by the units that it concerns, and is mended.
func TestThreeUnits(t *testing.T) {
	t.Parallel()
	network := netchecktest.New(t, 4)
	stopDNS := startDNS(t, network)
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := field{m, network}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	config := map[string]any{
		"dns_server": "10.77.0.4", "dns_time": 0.3, "dns_tries": 5, "service_manager": "process", "iperf_duration": 0.2,
		"ping_interval": 0.01, "ping_tries": 40, "check_timeout": 5.0,
		// How a machine resolves its own name is its own affair.
		"check_local_hostname": false,
	}
	if err := m.Deploy("magpie", jujusim.Charm{Path: buildCharm(t, network)}, jujusim.DeployOptions{Units: 3, Config: config}); err != nil {
		t.Fatal(err)
	}
	m.View(func(data *model.Model) {
		for i, h := range network.Hosts[:3] {
			u := data.Applications["magpie"].Units[fmt.Sprintf("magpie/%d", i)]
			u.Address, u.PublicAddress, u.CIDR = h.Addr4.String(), h.Addr4.String(), "10.77.0.0/24"
		}
	})
	if err := m.Deploy("prometheus", prometheusCharm(), jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Relate("magpie:metrics", "prometheus:manual-jobs"); err != nil {
		t.Fatal(err)
	}
	f.settle(t)
	f.expect(t, fine(), fine(), fine())
	t.Run("metrics", f.testMetrics)
	t.Run("actions", f.testActions)

	second := network.Hosts[1]
	mend := func() { second.Mend(t) }
	tests := []struct {
		name        string
		fault, mend func()
		wants       []want
	}{
		{
			"wrong MTU", func() { second.SetMTU(t, 1400) }, mend,
			[]want{of("magpie/1", "path mtu 1404, 1500 on eth0"), of("magpie/0, magpie/2", "mtu 1400 on eth0 here, 1500 there"), of("magpie/1", "path mtu 1404")},
		},
		{
			"packet loss", func() { second.LoseOneIn(t, 5) }, mend,
			[]want{of("magpie/1", "8 of 40 packets lost", "8 of 40 pings lost"), of("magpie/0 magpie/2", "8 of 40 packets lost", "8 of 40 pings lost"), of("magpie/1", "8 of 40 packets lost", "8 of 40 pings lost")},
		},
		{
			"blocked port", func() { second.Block(t, "tcp", 7117) }, mend,
			[]want{of("magpie/1", "tcp port 7117: no answer within 5"), fine(), of("magpie/1", "tcp port 7117: no answer within 5")},
		},
		{
			"dead DNS server", func() { stopDNS() }, func() { stopDNS = startDNS(t, network) },
			[]want{
				of("magpie/1, magpie/2", "magpie/1, magpie/2: dns: no answer from 10.77.0.4:53"),
				of("magpie/0, magpie/2", "magpie/0, magpie/2: dns: no answer from 10.77.0.4:53"),
				of("magpie/0, magpie/1", "magpie/0, magpie/1: dns: no answer from 10.77.0.4:53"),
			},
		},
		{
			"unplugged", func() { second.Unplug(t) }, mend,
			[]want{of("magpie/1", "icmp: ", "tcp port 7117", "udp port 7117"), of("magpie/0, magpie/2", "icmp: "), of("magpie/1", "icmp: ")},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault()
			f.recheck(t)
			f.expect(t, tt.wants...)
			tt.mend()
			f.recheck(t)
			f.expect(t, fine(), fine(), fine())
		})
	}

	t.Run("a unit leaves", func(t *testing.T) {
		if err := m.RemoveUnit("magpie/2"); err != nil {
			t.Fatal(err)
		}
		f.settle(t)
		f.expect(t, fine(), fine())
		if pids := processes(t, network.Hosts[2]); pids != "" {
			t.Errorf("magpie/2 left processes behind: %s", pids)
		}
		if pids := processes(t, network.Hosts[0]); len(strings.Fields(pids)) != 1 {
			t.Errorf("magpie/0 has the processes %q, want one responder", pids)
		}
	})
}

func processes(t *testing.T, h *netchecktest.Host) string {
	t.Helper()
	out, err := exec.Command("ip", "netns", "pids", h.Namespace).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// testMetrics scrapes what the units registered.
func (f field) testMetrics(t *testing.T) {
	requests := 0
	f.View(func(data *model.Model) {
		for _, r := range data.Relations {
			for i := range 3 {
				for key, value := range r.Data[fmt.Sprintf("magpie/%d", i)] {
					if strings.HasPrefix(key, "request_") && strings.Contains(value, fmt.Sprintf("10.77.0.%d:7118", i+1)) {
						requests++
					}
				}
			}
		}
	})
	if requests != 3 {
		t.Errorf("%d scrape jobs are registered, want 3", requests)
	}
	cmd := f.network.Hosts[3].Command(t.Context(), os.Args[0], "http://10.77.0.1:7118/metrics")
	cmd.Env = append(os.Environ(), "MAGPIE_TEST_ROLE=get")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("cannot scrape: %v: %s", err, out)
	}
	for _, line := range []string{
		`magpie_check_ok{check="icmp",peer="magpie/1"} 1`,
		`magpie_check_ok{check="throughput",peer="magpie/2"} 1`,
		`magpie_packet_loss_ratio{check="udp",peer="magpie/1"} 0`,
		`magpie_path_mtu_bytes{peer="magpie/2"} 1500`,
		`magpie_round_trip_seconds{check="tcp",peer="magpie/1",stat="p99"} `,
		`magpie_throughput_bits_per_second{peer="magpie/1"} `,
		`magpie_last_check_timestamp_seconds `,
	} {
		if !strings.Contains(string(out), "\n"+line) {
			t.Errorf("the metrics have no %s:\n%s", line, out)
		}
	}
}

func (f field) testActions(t *testing.T) {
	run := func(name string, params map[string]any) *jujusim.ActionResult {
		t.Helper()
		result, err := f.RunAction(t.Context(), "magpie/0", name, params)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	text := func(r *jujusim.ActionResult) string { return fmt.Sprint(r.Status, " ", r.Message, " ", r.Results) }
	if r := run("ping", map[string]any{"units": "magpie/2", "tries": 5}); r.Status != "completed" ||
		!strings.Contains(text(r), "magpie-2") || strings.Contains(text(r), "magpie-1") || !strings.Contains(text(r), "icmp ok") || !strings.Contains(text(r), `"sent":5`) {
		t.Errorf("ping: %s", text(r))
	}
	if r := run("ping", map[string]any{"units": "magpie/7"}); r.Status != "failed" || !strings.Contains(r.Message, `there is no peer "magpie/7"`) {
		t.Errorf("ping of nobody: %s", text(r))
	}
	if r := run("iperf", map[string]any{"duration": 0.2, "streams": 2}); r.Status != "completed" || !strings.Contains(text(r), "throughput") || !strings.Contains(text(r), `"streams":2`) {
		t.Errorf("iperf: %s", text(r))
	}
	if r := run("iperf", map[string]any{"duration": 0.2, "min-speed": "99999999"}); r.Status != "failed" || !strings.Contains(r.Message, "< 99999999 Mbit/s") || !strings.Contains(text(r), "bits_per_second") {
		t.Errorf("iperf with too much to ask: %s", text(r))
	}
	if r := run("info", nil); r.Status != "completed" || !strings.Contains(text(r), "10.77.0.1") || !strings.Contains(text(r), "magpie/2") || !strings.Contains(text(r), "eth0") {
		t.Errorf("info: %s", text(r))
	}
	f.expect(t, fine(), fine(), fine())
}

// TestFiles holds the charm against its files.
func TestFiles(t *testing.T) {
	t.Parallel()
	file, err := charmfile.Load(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := New().CheckFile(file); err != nil {
		t.Error(err)
	}
	config := make(map[string]any)
	for _, o := range file.Options {
		config[o.Name] = o.Default
	}
	if _, err := newSettings(config); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	tests := map[string]any{
		"ping_tries": 0, "ping_interval": -1.0, "max_loss": 101.0, "required_mtu": 68, "min_speed": "fast", "network": "x",
		"port": 0, "metrics_port": 7117, "iperf_streams": 17, "dns_tries": 0, "total_timeout": 0.0, "check_timeout": 1e9,
		"iperf_duration": 21.0, "service_manager": "upstart", "allowed_networks": "10.0.0.0/8, x",
	}
	for option, value := range tests {
		was := config[option]
		config[option] = value
		if _, err := newSettings(config); err == nil || !strings.Contains(err.Error(), option) {
			t.Errorf("%s = %v: error %v", option, value, err)
		}
		config[option] = was
	}
}

func TestParseSpeed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want speed
		bad  bool
	}{
		{in: "0"}, {in: "100", want: speed{bits: 100e6}}, {in: "0.5", want: speed{bits: 5e5}}, {in: "90%", want: speed{share: 0.9}},
		{in: "", bad: true}, {in: "-1", bad: true}, {in: "Inf", bad: true}, {in: "NaN", bad: true}, {in: "%", bad: true}, {in: "1 Gbit", bad: true},
	}
	for _, tt := range tests {
		got, err := parseSpeed(tt.in)
		if (err != nil) != tt.bad || err == nil && got != tt.want {
			t.Errorf("parseSpeed(%q) = %v, %v", tt.in, got, err)
		}
	}
}
