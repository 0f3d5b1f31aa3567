package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/magpie"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/reactive"
)

// TestUpgradeIsQuiet puts a Go charm in the place of a Python charm at every
// point of the vectors of the families with endpoints. From the file of unit
// state and the databags that the Python charm left, the Go charm runs the hook
// upgrade-charm, in which it publishes once more all that it has published:
// registers its scrape jobs, sends its requests, answers what it has answered,
// advertises its addresses. Then it runs a hook for every remote unit or
// application that published nothing new. All of it must be as the Python charm
// left it, also where that wrote its JSON in an unusual spelling: no call of relation-set, no new request ID, no flag "changed" that
// was not set.
func TestUpgradeIsQuiet(t *testing.T) {
	for family, again := range map[string]func(*quietCharm, *reactive.Charm){
		"prometheus_manual": (*quietCharm).manual,
		"magpie":            (*quietCharm).magpie,
		"loadbalancer":      (*quietCharm).balancer,
	} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			lines, err := readVectors(vectorsDir(), family)
			if err != nil {
				t.Fatal(err)
			}
			var sum quietCharm
			for i, line := range lines {
				if testing.Short() && i%10 != 0 {
					continue
				}
				steps := stepsOf(t, line)
				for at := 1; at <= len(steps); at++ {
					q := quietCharm{again: again, odd: at%2 == 0}
					if !q.ready(t, line, steps[:at]) {
						continue
					}
					t.Run(fmt.Sprintf("%s/after-%d", mustID(t, line), at), q.run)
					sum.points++
					sum.hooks += q.hooks
					sum.published += q.published
					sum.mended += min(q.mended, 1)
				}
			}
			fmt.Printf("quiet upgrade of %s: %d points, %d hooks, %d values published once more; at %d points there are requests to be refused that Python did not\n",
				family, sum.points, sum.hooks, sum.published, sum.mended)
			if sum.points < 100 || sum.published < 50 || sum.mended > sum.points/20 {
				t.Errorf("only %d points and %d values were tried", sum.points, sum.published)
			}
		})
	}
}

// A quietCharm is a charm that takes the place of a Python charm.
type quietCharm struct {
	again func(*quietCharm, *reactive.Charm)
	half  *halfway
	line  []byte

	// odd says that what the Python charm published is spelled unusually.
	odd bool
	// appOnly says that units publish nothing. news is how many requests the
	// Python charm has not acted on: new ones, and removed ones. mended is how
	// many it left without an answer, because they cannot be read.
	appOnly      bool
	news, mended int
	// ownJoined is an endpoint whose flag endpoint.NAME.joined the Python charm
	// did not have.
	ownJoined string

	t                        *testing.T
	runner                   *hookRunner
	points, hooks, published int
}

// ready reads what the Python charm left after some steps. It reports false if
// there is nothing to look at, or the last hook failed and is yet to run again.
func (q *quietCharm) ready(t *testing.T, line []byte, steps []json.RawMessage) bool {
	var last vectorStep
	decodeVector(t, steps[len(steps)-1], &last)
	if last.Expect.Failed {
		return false
	}
	q.line, q.half = line, after(t, line, steps)
	var v hookVector
	decodeVector(t, line, &v)
	if strings.HasSuffix(last.Hook, "-relation-broken") {
		q.half.relations[last.Relation] = json.RawMessage("null")
	}
	for _, p := range last.Expect.Published {
		if string(q.half.relations[p.Relation]) == "null" {
			continue
		}
		var rel map[string]json.RawMessage
		decodeVector(t, q.half.relations[p.Relation], &rel)
		var data map[string]map[string]string
		decodeVector(t, rel["data"], &data)
		owner := v.Charm.Unit
		if p.App {
			owner = applicationOf(owner)
		}
		if data[owner] == nil {
			data[owner] = make(map[string]string)
		}
		for key, value := range p.Data {
			if value == nil || *value == "" {
				delete(data[owner], key)
			} else {
				data[owner][key] = *value
			}
		}
		rel["data"] = mustMarshal(t, data)
		q.half.relations[p.Relation] = mustMarshal(t, rel)
	}
	return true
}

func (q *quietCharm) run(t *testing.T) {
	q.t = t
	q.runner = newHookRunner(t, withPart(t, q.line, q.half, nil))
	q.runner.oneUnit = true
	if q.odd {
		q.respell(t)
	}
	text := mustMarshal(t, map[string]any{"hook": "upgrade-charm", "model": q.half.model()})
	var step vectorStep
	decodeVector(t, text, &step)
	q.hook(&step)
	for _, id := range slices.Sorted(maps.Keys(q.runner.relations)) {
		rel := q.runner.relations[id]
		endpoint, _, _ := strings.Cut(id, ":")
		changed := vectorStep{Hook: endpoint + "-relation-changed", Relation: id, RemoteApp: rel.App}
		for _, unit := range rel.Units {
			changed.RemoteUnit = unit
			if q.seen(endpoint, id, unit, rel.Data[unit]) {
				q.hook(&changed)
			}
		}
		if changed.RemoteUnit = ""; len(rel.Data[rel.App]) == 0 || q.appOnly {
			q.hook(&changed)
		}
	}
	q.hook(&vectorStep{Hook: "update-status"})
	before := q.runner.store.Entries()
	q.hook(&vectorStep{Hook: "update-status"})
	same := func(a, b json.RawMessage) bool { return string(a) == string(b) }
	if after := q.runner.store.Entries(); !maps.EqualFunc(before, after, same) {
		t.Errorf("the same hook once more stores\n%s, after\n%s", after, before)
	}
}

// respell writes what the unit and its application have published in another
// spelling of the same JSON, as an older charm may have: no spaces, keys the
// other way round, no escapes.
func (q *quietCharm) respell(t *testing.T) {
	var v hookVector
	decodeVector(t, q.line, &v)
	for id, text := range q.half.relations {
		var rel map[string]json.RawMessage
		if string(text) == "null" {
			continue
		}
		decodeVector(t, text, &rel)
		var data map[string]map[string]string
		decodeVector(t, rel["data"], &data)
		for _, owner := range []string{v.Charm.Unit, applicationOf(v.Charm.Unit)} {
			for key, raw := range data[owner] {
				if value, err := canonicaljson.Decode(raw); err == nil {
					data[owner][key] = respelled(t, value)
				}
			}
		}
		rel["data"] = mustMarshal(t, data)
		q.half.relations[id] = mustMarshal(t, rel)
	}
}

func respelled(t *testing.T, v any) string {
	switch v := v.(type) {
	case map[string]any:
		var list []string
		for _, key := range slices.Backward(slices.Sorted(maps.Keys(v))) {
			list = append(list, respelled(t, key)+" :"+respelled(t, v[key]))
		}
		return "{" + strings.Join(list, ",") + "}"
	case []any:
		var list []string
		for _, item := range v {
			list = append(list, respelled(t, item))
		}
		return "[ " + strings.Join(list, ",") + " ]"
	}
	return mustEncode(t, v)
}

// seen reports whether the Python charm had seen all that a unit publishes, so
// that a hook about it says nothing new. What was published last it may not have
// seen. Interfaces of magpie's kind do not note what they saw, so no hook about
// a unit is free of news.
func (q *quietCharm) seen(endpoint, relation, unit string, data map[string]string) bool {
	for key := range reactive.NewDatabag(data, false).Map() {
		var sum string
		text, ok := q.half.kv[fmt.Sprintf("reactive.data_changed.endpoint.%s.%s.%s.%s", endpoint, relation, unit, key)]
		if ok {
			decodeVector(q.t, text, &sum)
		}
		if !q.appOnly && sum != canonicaljson.Digest(canonicaljson.Canonical(data[key])) {
			return false
		}
	}
	return true
}

// hook runs a hook in which nothing is new.
func (q *quietCharm) hook(step *vectorStep) {
	q.t.Helper()
	if q.t.Failed() {
		return
	}
	before := q.runner.store.Entries()
	q.hooks++
	q.runner.run(q.t, step, func() *reactive.Charm {
		charm := reactive.New("charm")
		charm.RequestIDs(recordedIDs(q.t, nil))
		q.again(q, charm)
		return charm
	})
	where := fmt.Sprintf("%s %s %s", step.Hook, step.Relation, step.RemoteUnit)
	if q.runner.err != nil {
		q.t.Fatalf("%s: %v", where, q.runner.err)
	}
	if q.runner.writes != 0 && q.mended == 0 {
		q.t.Errorf("%s: %d calls of relation-set", where, q.runner.writes)
	}
	after := q.runner.store.Entries()
	for key, value := range after {
		was, ok := before[key]
		if flag, isFlag := strings.CutPrefix(key, "reactive.states."); isFlag && !ok && !q.recomputed(flag) {
			q.t.Errorf("%s: flag %s is set, which was not", where, flag)
		}
		if ok && canonicaljson.Canonical(string(was)) != canonicaljson.Canonical(string(value)) && !strings.HasPrefix(key, "loadbalancer.") {
			q.t.Errorf("%s: the value of %s was %s and is %s", where, key, was, value)
		}
	}
	for key := range before {
		flag, isFlag := strings.CutPrefix(key, "reactive.states.")
		_, ok := after[key]
		// What loadbalancer keeps is compared by TestUpgradeParts; it stores
		// nothing for an endpoint that knows nothing.
		if ok || bookkeeping(key) || strings.HasPrefix(key, "loadbalancer.") || isFlag && (q.recomputed(flag) || strings.HasSuffix(flag, ".departed") || q.appOnly) {
			continue
		}
		q.t.Errorf("%s: %s is gone", where, key)
	}
}

// recomputed reports whether the Go charm recomputes a flag in every hook,
// which the Python charm did in some (README.md, item 5), or has a flag which
// that never had. None of these says that something changed.
func (q *quietCharm) recomputed(flag string) bool {
	if q.news > 0 && strings.HasSuffix(flag, "changed") {
		return true
	}
	suffixes := []string{".available", ".has_jobs", ".new_jobs", ".all_responses", ".has_responses", ".has_requests", ".new_requests"}
	return slices.ContainsFunc(suffixes, func(suffix string) bool {
		return strings.HasPrefix(flag, "endpoint.") && strings.HasSuffix(flag, suffix)
	}) || flag == "endpoint."+q.ownJoined+".joined"
}

func (q *quietCharm) manual(charm *reactive.Charm) {
	for _, ep := range q.runner.vector.Charm.Endpoints {
		if ep.Role == "provides" {
			provider := prometheusmanual.NewProvider(charm, ep.Name)
			charm.HandleEvery("register the jobs of "+ep.Name, func(ctx context.Context, h *reactive.Hook) error {
				provider.DepartedUnits() // who looks at them finds them
				for request := range provider.Requests().Values() {
					f := request.Fields()
					job := prometheusmanual.Job{Name: f.JobName, Data: f.JobData.(map[string]any), Relation: request.Relation(),
						CA: f.CACert, ClientCert: f.ClientCert, ClientKey: f.ClientKey}
					q.published++
					if err := provider.RegisterJob(ctx, job); err != nil {
						return err
					}
				}
				return nil
			})
			continue
		}
		requirer := prometheusmanual.NewRequirer(charm, ep.Name)
		charm.HandleEvery("answer the jobs of "+ep.Name, func(ctx context.Context, h *reactive.Hook) error {
			requirer.DepartedUnits()
			for _, request := range requirer.Answered() {
				response, _ := request.Response()
				q.published++
				if err := requirer.Respond(ctx, request, response); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (q *quietCharm) magpie(charm *reactive.Charm) {
	q.ownJoined = q.runner.vector.Charm.Endpoints[0].Name
	peers := magpie.NewPeers(charm, q.ownJoined)
	charm.HandleEvery("advertise", func(ctx context.Context, h *reactive.Hook) error {
		for _, rel := range q.runner.relations {
			own := rel.Data[q.runner.vector.Charm.Unit]
			if text := own["iperf_addresses"]; text != "" {
				var addresses []netip.Addr
				if err := json.Unmarshal([]byte(text), &addresses); err != nil {
					return err
				}
				q.published++
				if err := peers.All().AdvertiseAddresses(ctx, addresses...); err != nil {
					return err
				}
			}
			if own["iperf.server"] != "" {
				q.published++
				if err := peers.All().SetIperfServerReady(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (q *quietCharm) balancer(charm *reactive.Charm) {
	q.appOnly = true
	for _, ep := range q.runner.vector.Charm.Endpoints {
		if ep.Role == "requires" {
			requirer := loadbalancer.NewRequirer(charm, ep.Name)
			charm.HandleLeader("send the requests of "+ep.Name, flags.When(requirer.Available()), func(ctx context.Context, l *reactive.Leader) error {
				requests, err := requirer.Requests(ctx, l)
				for _, sent := range requests {
					request, err := requirer.Request(ctx, l, sent.Name())
					if err != nil {
						return err
					}
					q.published++
					if err := requirer.Send(ctx, l, request); err != nil {
						return err
					}
				}
				return err
			})
			continue
		}
		provider := loadbalancer.NewProvider(charm, ep.Name)
		charm.HandleEvery("look for news in "+ep.Name, func(context.Context, *reactive.Hook) error {
			var left struct {
				Known map[string]*string `json:"known_requests"`
			}
			if text, ok := q.half.snapshots["CharmBase/LBConsumers["+ep.Name+"]/StoredStateData[state]"]; ok {
				decodeVector(q.t, text, &left)
			}
			q.news, q.mended = len(provider.Removed()), len(provider.Malformed())
			for _, in := range provider.Requests() {
				if hash := left.Known[in.ID()]; hash == nil || *hash != in.Hash() {
					q.news++
				}
			}
			return nil
		})
		charm.HandleLeader("answer the requests of "+ep.Name, flags.When(provider.Created()), func(ctx context.Context, l *reactive.Leader) error {
			fresh := provider.NewRequests()
			for _, in := range provider.Requests() {
				if slices.ContainsFunc(fresh, func(other *loadbalancer.Incoming) bool { return other.ID() == in.ID() }) {
					continue
				}
				q.published++
				if err := provider.Respond(ctx, l, in, in.Response()); err != nil {
					return err
				}
			}
			return nil
		})
	}
}
