-- Delivery by delivery, fct_order_lines has the lines, sums and kinds of lines that staging has.

{{ config(meta={'dagster': {'ref': {'name': 'fct_order_lines'}}}) }}

with staged as (

    select
        delivery,
        count(*) as lines,
        sum(quantity) as quantity,
        sum(amount) as amount,
        count(case when is_purchase then 1 end) as purchases,
        count(case when is_cancellation then 1 end) as cancellations,
        count(case when is_product then 1 end) as products
    from {{ ref('stg_orders__lines') }}
    group by delivery

),

kept as (

    select
        delivery,
        count(*) as lines,
        sum(quantity) as quantity,
        sum(amount) as amount,
        count(case when is_purchase then 1 end) as purchases,
        count(case when is_cancellation then 1 end) as cancellations,
        count(case when is_product then 1 end) as products
    from {{ ref('fct_order_lines') }}
    group by delivery

)

(select * from staged except select * from kept)
union all
(select * from kept except select * from staged)
