-- Built by delivery, as fct_order_lines is.

{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_vanished_deliveries(ref('stg_events__events')) }}"
    )
}}

{% set content = ['delivery', 'customer_id', 'product_id', 'kind', 'occurred_at'] %}

with events as (

    select * from {{ ref('stg_events__events') }}
    {% if is_incremental() %}
    where delivery not in (select delivery from {{ this }})
    {% endif %}

),

numbered as (

    select
        *,
        row_number() over (
            partition by {{ content | join(', ') }}
            order by kind
        ) as occurrence
    from events

)

select
    {{ content_hash(content + ['occurrence']) }} as event_id,
    customer_id,
    product_id,
    kind,
    occurred_at,
    occurred_on,
    delivery
from numbered
order by
    occurred_at,
    event_id
