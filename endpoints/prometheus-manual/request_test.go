package prometheusmanual_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
)

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	const wire = `{"ca_cert":null,"client_cert":"C","client_key":"K","job_data":{"sample_limit":10,"x":1.0},"job_name":"lxd/0","request_id":"model_lxd_0"}`
	var request prometheusmanual.Request
	if err := json.Unmarshal([]byte(wire), &request); err != nil {
		t.Fatal(err)
	}
	if request.Name() != "lxd/0-model_lxd_0" || request.CACert != "" || request.ClientKey != "K" {
		t.Errorf("got %v", request)
	}
	if text, err := json.Marshal(request); err != nil || string(text) != wire {
		t.Errorf("got %s, %v\nwant %s", text, err, wire)
	}
	// Keys that are not the interface's, a number as ID, and fields that are
	// missing.
	if err := json.Unmarshal([]byte(`{"request_id": 7, "port": 9404, "job_data": "x"}`), &request); err != nil || request.ID != "7" {
		t.Errorf("got %v, %v", request, err)
	}
	for _, bad := range []string{`[]`, `null`, `"s3cret"`, `{"job_name": 5}`, `{"ca_cert": {"s3cret": 1}}`, `{"client_key": ["s3cret"]}`, `{"request_id": 1.5}`} {
		var request prometheusmanual.Request
		if err := request.UnmarshalJSON([]byte(bad)); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestResponseOnTheWire(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]prometheusmanual.Response{
		`{"reason":null,"success":true}`:   {Success: true},
		`{"reason":"bad","success":false}`: {Reason: "bad"},
	} {
		var response prometheusmanual.Response
		if err := json.Unmarshal([]byte(wire), &response); err != nil || response != want {
			t.Errorf("%s: %v, %v", wire, response, err)
		}
		if text, err := json.Marshal(response); err != nil || string(text) != wire {
			t.Errorf("got %s, %v\nwant %s", text, err, wire)
		}
	}
	for _, bad := range []string{`5`, `{"success": "yes"}`, `{"reason": 5}`} {
		var response prometheusmanual.Response
		if err := json.Unmarshal([]byte(bad), &response); err == nil {
			t.Errorf("%s is read as %v", bad, response)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(`{"request_id":"a","job_name":"b","job_data":{"a":[1,1e400,-0.0,"\ud83d"]},"ca_cert":"","client_key":null}`)
	f.Add(`{"job_data":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var request, again prometheusmanual.Request
		if request.UnmarshalJSON([]byte(text)) != nil {
			return
		}
		wire, err := request.MarshalJSON()
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		if err := again.UnmarshalJSON(wire); err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		once, _ := request.MarshalJSON()
		if twice, err := again.MarshalJSON(); err != nil || !reflect.DeepEqual(once, twice) {
			t.Errorf("%s becomes %s, %v", once, twice, err)
		}
		files := prometheusmanual.CertFiles{CA: "/ca", Cert: "/cert", Key: "/key"}
		_, jsonErr := request.ToJSON(files)
		config, err := request.ScrapeConfig(files)
		if jsonErr != nil && err == nil {
			t.Errorf("ToJSON fails (%v), ScrapeConfig gives %v", jsonErr, config)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add(`{"success": true, "reason": null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var response, again prometheusmanual.Response
		if response.UnmarshalJSON([]byte(text)) != nil {
			return
		}
		wire, err := response.MarshalJSON()
		if err != nil || again.UnmarshalJSON(wire) != nil || again != response {
			t.Errorf("%v becomes %s, %v, %v", response, wire, again, err)
		}
	})
}
