package haproxy_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
)

const (
	procs = `#<PID>          <type>          <reloads>       <uptime>        <version>
100             master          3 [failed: 1]   0d00h00m01s     2.6.12-1+deb12u4
# workers
102             worker          0               0d00h00m00s     2.6.12-1+deb12u4
# old workers
101             worker          2               0d00h00m01s     2.6.12-1+deb12u4
# programs

`
	states = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight
3 b:d:v:80 7 a1 127.0.0.2 2 1 1 1
3 b:d:v:80 8 a2 ::1 2 8 1 1
`
	stats = `# pxname,svname,qcur,qmax,scur,smax,status,check_code,check_desc
f:d:v:80:127.0.0.1,FRONTEND,,,4,4,OPEN,,
b:d:v:80,a1,0,0,3,3,UP,200,Layer7 check passed
b:d:v:80,a2,0,0,0,3,DOWN 1/2,400,Layer7 wrong status
b:d:v:80,BACKEND,0,0,3,3,UP,,
`
	sess = `0x55d0: proto=tcpv4 src=127.0.0.1:1 fe=f:d:v:80:127.0.0.1 be=b:d:v:80 srv=a1 ts=00 age=1s
0x55d1: proto=tcpv4 src=127.0.0.1:2 fe=f:d:v:80:127.0.0.1 be=b:d:v:80 srv=a10 ts=00 age=1s
0x55d2: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 age=0s
`
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	if st, err := haproxy.ParseProcs(procs); err != nil || !reflect.DeepEqual(st, mustProcs(t)) {
		t.Errorf("show proc: %+v, %v", st, err)
	}
	servers, err := haproxy.ParseServers(states)
	if err != nil || len(servers) != 2 {
		t.Errorf("show servers state: %+v, %v", servers, err)
	}
	got, err := haproxy.ParseStats(stats)
	if text := fmt.Sprint(got); err != nil || text != "[{b:d:v:80 a1 3 } {b:d:v:80 a2 0 Layer7 wrong status 400}]" {
		t.Errorf("show stat: %v, %v", text, err)
	}
	if ids := haproxy.ParseSessionIDs(sess, "b:d:v:80", "a1"); !reflect.DeepEqual(ids, []string{"0x55d0"}) {
		t.Errorf("show sess: %v", ids)
	}
	for text, want := range map[string]bool{
		"": false,
		"# table: b:d:v:80, type: ipv6, size:102400, used:0\n\n":                                                            false,
		"# table: b:d:v:80, type: ipv6, size:102400, used:0\n\n# table: b:d:w:81, type: ipv6, size:102400, used:12\n0x5:\n": true,
	} {
		if got := haproxy.HasClients(text); got != want {
			t.Errorf("show table: %q has clients: %v", text, got)
		}
	}
	for flags, want := range map[string]bool{"0x0": false, "0x11": false, "0x33": true, "0x1103": true} {
		text := "0x55d2: [29/Nov/2026:06:31:02] id=tables disabled=0 flags=" + flags + " resync_timeout=4s task_calls=2\n" +
			"  0x55d3: id=local(local,inactive) addr=127.0.0.1:20000 last_status=NONE\n        flags=0x0\n"
		if got := haproxy.HasTables(text); got != want {
			t.Errorf("show peers: with flags %s it has its tables: %v", flags, got)
		}
	}
	if !haproxy.HasTables("") {
		t.Error("without peers it has no tables to wait for")
	}
	if at, ok := haproxy.FrontAddress("f:d:v:80:2001:db8::1"); !ok || at.String() != "[2001:db8::1]:80" {
		t.Errorf("the address of a frontend: %v, %v", at, ok)
	}
}

// mustProcs parses an answer that says the same in other words.
func mustProcs(t *testing.T) any {
	t.Helper()
	st, err := haproxy.ParseProcs("100 master 3 [failed: 1] x\n# workers\n102 worker 0 x\n# old workers\n101 worker 2 x\n")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// FuzzAnswers: whatever HAProxy says, reading it is an error or not, and never a
// panic.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{procs, states, stats, sess, "", "\n", "1\n#\n", `"`, "f:::::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = haproxy.ParseProcs(s)
		_, _ = haproxy.ParseServers(s)
		_, _ = haproxy.ParseStats(s)
		haproxy.ParseSessionIDs(s, "b:d:v:80", "a1")
		haproxy.FrontAddress(s)
		haproxy.HasClients(s)
		haproxy.HasTables(s)
	})
}
