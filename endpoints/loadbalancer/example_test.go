package loadbalancer_test

import (
	"errors"
	"fmt"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
)

// A request is what is published, and a hash by which it is known.
func ExampleRequest() {
	request := loadbalancer.NewRequest("0123456789abcdef0123456789abcdef", "site")
	request.Protocol = loadbalancer.HTTP
	request.PortMapping = map[int]int{80: 8080}
	request.TLSKey = new(loadbalancer.Secret("-----BEGIN PRIVATE KEY-----"))
	fmt.Println(request, *request.TLSKey)

	request.Protocol = ""
	fmt.Println(request.Validate())
	// Output:
	// request "site" (0123456789abcdef0123456789abcdef) [secret]
	// the request is not valid: protocol: Field may not be null
}

// A response succeeds, rejects what is not supported, or fails.
func ExampleResponse() {
	for _, response := range []loadbalancer.Response{
		loadbalancer.Succeed("192.0.2.1"),
		loadbalancer.Reject(map[loadbalancer.Field]string{loadbalancer.FieldProtocol: "supported: tcp, http, https"}),
		loadbalancer.Fail(errors.New("haproxy does not start")),
	} {
		fmt.Println(response.OK(), response)
	}
	// Output:
	// true load balancer at 192.0.2.1
	// false unsupported; protocol: supported: tcp, http, https
	// false provider error: haproxy does not start
}
