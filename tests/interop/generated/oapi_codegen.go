package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	endpoints "example.com/app/client"
)

type row struct {
	Plan   string   `json:"plan"`
	People int      `json:"people"`
	Share  *float64 `json:"share"`
	Day    string   `json:"day"`
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func connect(key string) *endpoints.ClientWithResponses {
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+key)
		return nil
	}
	client, err := endpoints.NewClientWithResponses(os.Getenv("URL"), endpoints.WithRequestEditorFn(authorize))
	check(err)
	return client
}

func main() {
	ctx, api, other := context.Background(), connect(os.Getenv("KEY")), connect("phx_wrong")
	request := endpoints.RevenueByPlanEndpointRunRequest{
		Version:   endpoints.RevenueByPlanEndpointRunRequestVersionN1,
		Variables: endpoints.RevenueByPlanVariables{Plan: "pro"},
	}
	answer, err := api.RunRevenueByPlanWithResponse(ctx, request)
	check(err)
	rows := []row{}
	for _, values := range answer.JSON200.Results {
		var read row
		read.Plan, err = values[0].AsRevenueByPlanRow1()
		check(err)
		people, err := values[1].AsRevenueByPlanRow0()
		check(err)
		read.People = int(people)
		if values[2] != nil {
			share, err := values[2].AsRevenueByPlanRow0()
			check(err)
			read.Share = &share
		}
		day, err := values[3].AsRevenueByPlanRow1()
		check(err)
		read.Day = day[:10]
		rows = append(rows, read)
	}
	viewsRequest := endpoints.ViewsEndpointRunRequest{Version: endpoints.ViewsEndpointRunRequestVersionN1}
	views, err := api.RunViewsWithResponse(ctx, viewsRequest)
	check(err)
	zero := 0
	request.Limit = &zero
	wrongLimit, err := api.RunRevenueByPlanWithResponse(ctx, request)
	check(err)
	bare, err := wrongLimit.JSON400.AsBareError()
	check(err)
	busyRequest := endpoints.BusyEndpointRunRequest{Version: endpoints.BusyEndpointRunRequestVersionN1}
	wrongKey, err := other.RunViewsWithResponse(ctx, viewsRequest)
	check(err)
	gone, err := api.RunGoneWithResponse(ctx, endpoints.GoneEndpointRunRequest{Version: endpoints.GoneEndpointRunRequestVersionN1})
	check(err)
	envelope, err := gone.JSON404.AsError()
	check(err)
	busy, err := api.RunBusyWithResponse(ctx, busyRequest)
	check(err)
	printed, err := json.Marshal(map[string]any{
		"rows":       rows,
		"version":    answer.JSON200.EndpointVersion,
		"more":       answer.JSON200.HasMore,
		"points":     len(*views.JSON200.Results[0].Data),
		"statuses":   []int{wrongLimit.StatusCode(), wrongKey.StatusCode(), gone.StatusCode(), busy.StatusCode()},
		"errors":     []string{bare.Error, wrongKey.JSON401.Code, envelope.Code, busy.JSON429.Code},
		"retryAfter": busy.HTTPResponse.Header.Get("Retry-After"),
	})
	check(err)
	fmt.Println(string(printed))
}
