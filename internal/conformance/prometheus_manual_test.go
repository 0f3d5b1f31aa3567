package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/reactive"
)

// manualVector is what a vector of family prometheus_manual has beside what
// all hook vectors have (FORMAT.md, section 5).
type manualVector struct {
	Kind  string `json:"kind"`
	Charm struct {
		Endpoints []struct {
			Name string `json:"name"`
			Side string `json:"side"`
		} `json:"endpoints"`
	} `json:"charm"`
	Request json.RawMessage `json:"request"`
	Calls   []struct {
		Args   manualFiles `json:"args"`
		JSON   *string     `json:"json"`
		Raises string      `json:"raises"`
	} `json:"calls"`
}

type manualFiles struct {
	CA   string `json:"ca_file"`
	Cert string `json:"cert_file"`
	Key  string `json:"key_file"`
}

type manualStep struct {
	UUIDs []string   `json:"uuids"`
	Ops   []manualOp `json:"ops"`

	Expect struct {
		Results []any          `json:"results"`
		State   map[string]any `json:"state"`
	} `json:"expect"`
}

type manualOp struct {
	Op       string          `json:"op"`
	Endpoint string          `json:"endpoint"`
	Relation string          `json:"relation"`
	ID       string          `json:"id"`
	Field    string          `json:"field"`
	Value    any             `json:"value"`
	Args     json.RawMessage `json:"args"`
	Fields   struct {
		Success bool   `json:"success"`
		Reason  string `json:"reason"`
	} `json:"fields"`
}

// manualError is an error that a vector expects as the result of an operation; its
// text is the reference's name for it.
type manualError string

func (r manualError) Error() string { return string(r) }

func runPrometheusManual(t *testing.T, line []byte) {
	var v manualVector
	decodeVector(t, line, &v)
	if v.Kind == "to_json" {
		runManualJSON(t, &v)
		return
	}
	r := newHookRunner(t, line)
	r.ownFlags = func(flag string) bool {
		return slices.ContainsFunc([]string{".available", ".has_jobs", ".new_jobs"}, func(suffix string) bool {
			return strings.HasPrefix(flag, "endpoint.") && strings.HasSuffix(flag, suffix)
		})
	}
	flags := flagsIn(r.store.Entries())
	for i, raw := range r.vector.Steps {
		var step vectorStep
		var manual manualStep
		decodeVector(t, raw, &step)
		decodeVector(t, raw, &manual)
		before := r.store.Entries()
		p := &manualPlayer{t: t, vector: &v, step: &manual}
		r.run(t, &step, p.build)
		// What the reference changed in these flags, it changed from how it had
		// left them itself.
		maps.DeleteFunc(before, func(key string, _ json.RawMessage) bool {
			flag, ok := strings.CutPrefix(key, "reactive.states.")
			return ok && r.ownFlags(flag)
		})
		for _, flag := range flags {
			if r.ownFlags(flag) {
				before["reactive.states."+flag] = json.RawMessage("null")
			}
		}
		flags = step.Expect.Flags
		r.compare(t, i, &step, before)
		if step.Expect.Failed {
			continue
		}
		if want := manual.Expect.Results; !reflect.DeepEqual(p.results, want) && len(p.results)+len(want) > 0 {
			t.Errorf("step %d (%s): results are %s, want %s", i, step.Hook, mustEncode(t, p.results), mustEncode(t, want))
		}
		if !reflect.DeepEqual(p.state, manual.Expect.State) {
			t.Errorf("step %d (%s): the state is %s, want %s", i, step.Hook, mustEncode(t, p.state), mustEncode(t, manual.Expect.State))
		}
	}
}

func runManualJSON(t *testing.T, v *manualVector) {
	var request prometheusmanual.Request
	if err := json.Unmarshal(v.Request, &request); err != nil {
		t.Fatal(err)
	}
	if len(v.Calls) == 0 {
		t.Fatal("the vector has no calls")
	}
	for _, call := range v.Calls {
		text, err := request.ToJSON(prometheusmanual.CertFiles(call.Args))
		switch {
		case (err != nil) != (call.Raises != ""):
			t.Errorf("%v: got error %v, want %q", call.Args, err, call.Raises)
		case call.JSON != nil && text != *call.JSON:
			t.Errorf("%v: got\n%s, want\n%s", call.Args, text, *call.JSON)
		case call.JSON == nil && call.Raises == "":
			t.Error("the vector expects nothing")
		}
	}
}

// manualPlayer carries out the operations of one step.
type manualPlayer struct {
	t      *testing.T
	vector *manualVector
	step   *manualStep

	providers map[string]*prometheusmanual.Provider
	requirers map[string]*prometheusmanual.Requirer
	results   []any
	state     map[string]any
}

func (p *manualPlayer) build() *reactive.Charm {
	charm := reactive.New("charm")
	charm.RequestIDs(recordedIDs(p.t, p.step.UUIDs))
	p.providers = make(map[string]*prometheusmanual.Provider)
	p.requirers = make(map[string]*prometheusmanual.Requirer)
	for _, ep := range p.vector.Charm.Endpoints {
		if ep.Side == "requester" {
			p.providers[ep.Name] = prometheusmanual.NewProvider(charm, ep.Name)
		} else {
			p.requirers[ep.Name] = prometheusmanual.NewRequirer(charm, ep.Name)
		}
	}
	charm.HandleEvery("operations", p.play)
	return charm
}

func (p *manualPlayer) play(ctx context.Context, _ *reactive.Hook) error {
	for _, op := range p.step.Ops {
		var result any
		var err error
		if provider := p.providers[op.Endpoint]; provider != nil {
			result, err = p.provide(ctx, provider, op)
		} else {
			result, err = p.require(ctx, p.requirers[op.Endpoint], op)
		}
		var name manualError
		switch {
		case errors.As(err, &name):
			result = p.withMessage(map[string]any{"raises": string(name)}, len(p.results))
		case err != nil:
			return err
		}
		p.results = append(p.results, result)
	}
	p.state = make(map[string]any)
	for name, provider := range p.providers {
		p.state[name] = states(p, provider.Requests(), false)
	}
	for name, requirer := range p.requirers {
		p.state[name] = states(p, requirer.Requests(), true)
	}
	return nil
}

// withMessage adds the message that the vector has, which is information.
func (p *manualPlayer) withMessage(result map[string]any, i int) any {
	if i < len(p.step.Expect.Results) {
		if want, ok := p.step.Expect.Results[i].(map[string]any); ok && want["message"] != nil {
			result["message"] = want["message"]
		}
	}
	return result
}

func (p *manualPlayer) provide(ctx context.Context, provider *prometheusmanual.Provider, op manualOp) (any, error) {
	switch op.Op {
	case "register_job":
		var args struct {
			JobName    string         `json:"job_name"`
			JobData    map[string]any `json:"job_data"`
			CACert     string         `json:"ca_cert"`
			ClientCert string         `json:"client_cert"`
			ClientKey  string         `json:"client_key"`
		}
		decodeVector(p.t, op.Args, &args)
		job := prometheusmanual.Job{
			Name: args.JobName, Data: args.JobData,
			CA: args.CACert, ClientCert: args.ClientCert, ClientKey: args.ClientKey,
		}
		if op.Relation != "" {
			rel, ok := provider.Relations().Get(op.Relation)
			if !ok {
				return nil, manualError("KeyError")
			}
			job.Relation = rel
		}
		if err := provider.RegisterJob(ctx, job); err != nil {
			return nil, err
		}
		var ids []string
		for _, job := range provider.Jobs() {
			ids = append(ids, job.ID)
		}
		return p.sortedList(ids), nil
	case "set":
		request, ok := provider.Requests().Get(op.ID)
		if !ok {
			return nil, manualError("NoSuchRequest")
		}
		if op.Field != "ca_cert" {
			p.t.Fatalf("field %q is not known to the runner", op.Field)
		}
		value := op.Value.(string)
		err := provider.Update(ctx, request, func(r *prometheusmanual.Request) { r.CACert = value })
		return request.Fields().CACert, err
	case "responses":
		responses := []any{}
		for _, request := range provider.Answered() {
			response, _ := request.Response()
			responses = append(responses, p.fields(response))
		}
		return responses, nil
	case "response_by":
		if op.Field != "job_name" {
			p.t.Fatalf("field %q is not known to the runner", op.Field)
		}
		var rel *reactive.Relation
		if op.Relation != "" {
			var ok bool
			if rel, ok = provider.Relations().Get(op.Relation); !ok {
				return nil, manualError("KeyError")
			}
		}
		request := provider.Find(rel, func(r prometheusmanual.Request) bool { return r.JobName == op.Value })
		if request == nil {
			return nil, nil
		}
		response, ok := request.Response()
		if !ok {
			return nil, nil
		}
		return p.fields(response), nil
	}
	p.t.Fatalf("operation %q is not known to the runner", op.Op)
	return nil, nil
}

func (p *manualPlayer) require(ctx context.Context, requirer *prometheusmanual.Requirer, op manualOp) (any, error) {
	if op.Op == "new_requests" {
		var ids []string
		for _, request := range requirer.Unanswered() {
			ids = append(ids, request.ID())
		}
		return p.sortedList(ids), nil
	}
	request, ok := requirer.Requests().Get(op.ID)
	if !ok {
		return nil, manualError("NoSuchRequest")
	}
	switch op.Op {
	case "respond":
		err := requirer.Respond(ctx, request, prometheusmanual.Response(op.Fields))
		response, _ := request.Response()
		return p.fields(response), err
	case "to_json":
		var files manualFiles
		decodeVector(p.t, op.Args, &files)
		jobs, err := requirer.Jobs(ctx)
		if err != nil {
			return nil, err
		}
		for _, job := range jobs {
			if job.ID == op.ID {
				text, err := job.ToJSON(prometheusmanual.CertFiles(files))
				if err != nil {
					return nil, manualError("TypeError")
				}
				return text, nil
			}
		}
	}
	p.t.Fatalf("operation %q is not known to the runner", op.Op)
	return nil, nil
}

// fields returns a value as the vectors show it.
func (p *manualPlayer) fields(v any) any {
	var fields any
	decodeVector(p.t, []byte(mustEncode(p.t, v)), &fields)
	return fields
}

func (p *manualPlayer) sortedList(ids []string) []any {
	slices.Sort(ids)
	list := []any{}
	for _, id := range ids {
		list = append(list, id)
	}
	return list
}

func states(p *manualPlayer, requests *reactive.KeyList[*reactive.Request[prometheusmanual.Request, prometheusmanual.Response]], remote bool) []any {
	list := []any{}
	ids := requests.Keys()
	slices.Sort(ids)
	for _, id := range ids {
		request, _ := requests.Get(id)
		fields := p.fields(request.Fields()).(map[string]any)
		delete(fields, "request_id")
		state := map[string]any{"id": id, "fields": fields, "relation": request.Relation().ID(), "response": nil}
		if response, ok := request.Response(); ok {
			state["response"] = p.fields(response)
		}
		if remote {
			state["unit"] = request.Unit().Name()
		}
		list = append(list, state)
	}
	return list
}
